"""What a host writes down can be read as a replay, and one game that cannot be written is alone."""

import resource

import pytest
from replay.games import BOARD, OFFICIAL
from replay.test_journal import end_of

from farm.errors import FileAccessError, GameError
from farm.games import journal as games_journal
from farm.games.journal import Journal, Played
from farm.games.journal_files import JournalFiles
from farm.replay import journal
from farm.replay.files import read_replays
from farm.replay.journal import SURRENDERED, Header, decode, to_replay
from farm.replay.simulate import verify

LOBBY, RUNNING, PAUSED = 1, 2, 3


@pytest.fixture
def files(tmp_path):
    opened = JournalFiles(tmp_path / "host-0", keep=10, max_bytes=1 << 20)
    yield opened
    opened.close()


def header(game_id, *, max_ticks=60):
    return Header(game_id, "a game", OFFICIAL, BOARD, max_ticks, ("", "", "hunter"), 1_000)


def begun(files, *game_ids):
    written = Journal(files)
    for game_id in game_ids:
        written.create(header(game_id))
        written.joined(game_id, 0, "Ann", b"a" * 32, key="first")
        written.joined(game_id, 1, "Bob", b"b" * 32)
        written.moved(game_id, 0, RUNNING, 2_000)
    return written


def read(files, game_id):
    return decode((files.folder / f"{game_id}.journal").read_bytes())


def act(written, game_id, tick, seat, *moves, clear=False, key=""):
    written.accepted(game_id, tick, seat, moves, clear=clear, key=key, queued=len(moves))


def test_an_accepted_action_is_in_the_file_at_once(files):
    written = begun(files, 7)
    act(written, 7, 0, 0, (0, 1, 0), (1, 2, 1), key="one")
    (entry,) = read(files, 7).entries[3:]
    assert entry == journal.Orders(0, 0, 0, ((0, 1, 0), (1, 2, 1)), "one", 2)


def test_the_journal_of_an_ended_game_is_its_replay(files):
    written = begun(files, 7)
    for tick in range(20):
        act(written, 7, tick, 0, (0, 1, 0), clear=tick % 3 == 0)
        act(written, 7, tick, 1)
        assert written.ticked([Played(7, tick, [(2, 5, 4, 0)])]) == []
        if tick == 4:
            written.moved(7, 5, PAUSED, 3_000)
            written.moved(7, 5, RUNNING, 4_000)
            written.connected(7, 5, 1, connected=False)
            written.replaced(7, 5, 1, "expander")
    written.left(7, 20, 2, SURRENDERED)
    written.ticked([Played(7, 20, [])])
    end = end_of(to_replay(read(files, 7)))
    written.ended(7, end)
    assert len(written) == 0
    (found,) = read_replays(files.folder / "ended" / "7.journal")
    assert found.replay.players == ("Ann", "Bob", "hunter")
    assert found.note == "journal of an ended game"
    verdict = verify(found.replay)
    assert (verdict.n_ticks, verdict.n_hashes, verdict.agrees) == (21, 1, True)


def test_a_game_that_never_began_is_not_kept(files):
    written = begun(files, 7)
    written.ended(7, journal.Ended(0, journal.CANCELLED, b"", (), 3_000))
    assert list((files.folder / "ended").iterdir()) == []
    assert files.unfinished() == []


def test_one_journal_that_cannot_be_written_leaves_the_other_games_alone(files):
    written = begun(files, 7, 8)
    for tick in range(5):
        written.ticked([Played(7, tick, []), *([Played(8, 0, [])] if tick == 0 else [])])
    act(written, 7, 5, 0, *[(0, 1, 0)] * 40)
    before = files.n_bytes(7)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (before + 4, hard))
    try:
        ((game_id, error),) = written.ticked([Played(7, 5, []), Played(8, 1, [])])
        assert game_id == 7
        assert str(error) == f"{files.folder / '7.journal'}: File too large"
        with pytest.raises(FileAccessError, match="File too large"):
            act(written, 7, 5, 0, (0, 1, 0))
        written.abandon(7)
        act(written, 8, 2, 0, (0, 1, 0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.stem for path in files.unfinished()] == ["8"]
    assert read(files, 8).n_ticks == 2
    kept = decode((files.folder / "ended" / "7.journal").read_bytes())
    assert (kept.n_ticks, kept.cut_bytes, kept.end) == (5, 0, None)


@pytest.mark.parametrize(("bound", "value"), [("MAX_ORDERS", 600), ("MAX_FILE_BYTES", 50_000)])
def test_a_flood_of_a_seat_is_refused_and_takes_nothing_from_the_others(
    files, monkeypatch, bound, value
):
    monkeypatch.setattr(games_journal, bound, value)
    monkeypatch.setattr(journal, bound, value)
    written = begun(files, 7)

    def flood(tick):
        for _ in range(1_000):
            act(written, 7, tick, 0, (0, 1, 0), clear=True, key="k" * 64)

    for tick in range(60):
        act(written, 7, tick, 0, (0, 1, 0))
        with pytest.raises(GameError, match="seat 0 has sent more than the journal") as caught:
            flood(tick)
        assert (caught.value.reason, caught.value.retry_after_s) == ("LIMIT", 1.0)
        act(written, 7, tick, 1, (29, 28, 0))
        assert written.ticked([Played(7, tick, [(2, 5, 4, 0)])]) == []
    assert read(files, 7).n_ticks == 60


def test_a_host_that_takes_over_goes_on_in_the_same_file(files):
    written = begun(files, 7)
    act(written, 7, 0, 0, (0, 1, 0))
    files.close()
    again = JournalFiles(files.folder, keep=10, max_bytes=1 << 20)
    found = read(again, 7)
    taken = Journal(again)
    taken.resume(found)
    taken.ticked([Played(7, 0, [])])
    assert read(again, 7).entries == [*found.entries, journal.Ticked(0, ())]
    again.close()
