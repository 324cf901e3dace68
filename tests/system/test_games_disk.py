"""Two games hosts, one with a full disk: its games end with the reason, the others go on."""

import contextlib
import subprocess
from pathlib import Path

import pytest
from hosted import HostedFarm, results
from steady import PATIENT

from farm.client import EventKind, GameClient, Phase
from farm.errors import ClientError, RejectedError

pytestmark = pytest.mark.timeout(900)

NAMESPACE = ("unshare", "--mount", "sh", "-c")
GAME = {"map": "20x20", "seed": 31, "max_turns": 60}


@pytest.fixture(scope="module")
def farm(shared_farm_up, start_shared, shared_instance, tmp_path_factory):
    folder = tmp_path_factory.mktemp("farm")
    small = folder / "journals" / shared_instance / "host-1"
    small.mkdir(parents=True)
    mount = f"mount -t tmpfs -o size=256k tmpfs {small}"
    if subprocess.run([*NAMESPACE, mount], capture_output=True, check=False).returncode:
        pytest.skip("needs a mount namespace of its own")
    made = HostedFarm(
        shared_farm_up,
        start_shared,
        shared_instance,
        folder,
        ["games.hosts=2"],
        within=[*NAMESPACE, f'{mount} && exec "$0" "$@"'],
    )
    made.small = Path(f"/proc/{made.up.pid}/root{small}")
    yield made
    made.close()


@pytest.fixture(scope="module")
def story(farm):
    """A game on either host; between two ticks the disk of the second becomes full."""
    addresses = farm.up.wait_for("farm_ready")["game_addresses"]
    gates = farm.gates(30)
    told = []
    for address in addresses:
        farm.client.close()
        farm.client = GameClient(address, retry=PATIENT)
        made, seats = farm.game("steady", "marching", **GAME)
        told.append((made, farm.agents(seats, gates=gates, address=address)))
    (first, going), (second, failing) = told
    gates.wait_for(30, first, second)
    with contextlib.suppress(OSError), (farm.small / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(1 << 12))
    gates.open(30)
    with farm.client.stream(second.game_id, second.spectator_token) as stream:
        updates = list(stream)
    with pytest.raises(ClientError) as refused:
        farm.client.create(**GAME)
    lines = results(going, 2)
    failing.wait()
    (farm.small / "filler").unlink()
    return first, lines, second, failing, updates, refused.value


def test_a_game_whose_journal_cannot_be_written_ends_with_the_reason(story):
    *_, failing, updates, _ = story
    assert updates[-1].phase is Phase.ERROR
    (event,) = [e for one in updates for e in one.events if e.kind is EventKind.GAME_FAILED]
    assert "No space left on device" in event.text
    assert "/" not in event.text
    assert event.tick == updates[-1].tick
    lines = failing.events("agent_over")
    assert {line["phase"] for line in lines} == {"ERROR"}
    assert len(lines) == 2


def test_no_game_is_made_that_could_not_be_kept(farm, story):
    _, _, second, *_, refused = story
    assert isinstance(refused, RejectedError)
    assert [info.game_id for info in farm.client.games()] == [second.game_id]


def test_a_game_of_the_other_host_goes_on(farm, story):
    first, lines, *_ = story
    ending = farm.ended(first.game_id)
    assert ending.final[1] is Phase.ENDED
    assert {line["ticks"] for line in lines.values()} == {ending.end.tick}
    farm.check_replays(ending)


@pytest.mark.usefixtures("story")
def test_once_there_is_room_again_games_are_made_again(farm):
    made, _ = farm.game(bots={0: "random", 1: "random"}, **{**GAME, "max_turns": 3})
    with farm.client.stream(made.game_id, made.spectator_token) as stream:
        assert list(stream)[-1].phase is Phase.ENDED
    assert not farm.up.events("child_exited", child="games-1")
