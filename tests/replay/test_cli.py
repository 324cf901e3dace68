"""`farm replay` as its users run it."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec import structs
from replay.games import ABSENT, FOLDER, march, wandering
from replay.test_journal import COURSE, WRITTEN, end_of, written

import farm
from farm.cli.main import main
from farm.errors import EXIT_INTERNAL, EXIT_OK, EXIT_UNAVAILABLE, EXIT_USAGE
from farm.replay.files import read_replays, write_replays
from farm.replay.journal import decode, to_replay
from farm.replay.simulate import verify, with_hashes

ROOT = Path(farm.__file__).resolve().parents[1]
GOLDEN = Path(__file__).parents[1] / "golden" / "march.txt"


def run_farm(*args, cwd):
    """A process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "farm.cli.main", "replay", *map(str, args)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def run_here(capsys):
    """The same within this process, which is faster."""

    def run(*args):
        code = main(["replay", *map(str, args)])
        captured = capsys.readouterr()
        return subprocess.CompletedProcess(args, code, captured.out, captured.err)

    return run


@pytest.fixture
def games(tmp_path):
    """A file of two games, the second without hashes."""
    path = tmp_path / "games.replay"
    write_replays(path, [with_hashes(wandering()), march()])
    return path


@pytest.fixture
def wrong(tmp_path):
    """A file whose second game differs after 30 ticks."""
    path = tmp_path / "wrong.replay"
    hashed = with_hashes(wandering(1))
    damaged = hashed.hashes[: 6 * 29] + b"wrong!" + hashed.hashes[6 * 30 :]
    write_replays(path, [with_hashes(wandering()), structs.replace(hashed, hashes=damaged)])
    return path


def test_each_game_is_a_line_with_its_size_length_winner_and_agreement(games):
    done = run_farm(games, cwd=games.parent)
    assert done.stderr == ""
    first, second = done.stdout.splitlines()
    assert [part.strip() for part in first.split("  ") if part] == [
        "wandering-0", "5x6", "3 seats", "60 ticks", "unfinished", "60 hashes agree",
    ]  # fmt: skip
    assert second.endswith("8 ticks  A (Ann) won  no hashes to compare")
    assert done.returncode == EXIT_OK


def test_a_check_prints_only_the_sums_when_all_agree(games):
    done = run_farm("--check", games, games, cwd=games.parent)
    assert done.returncode == EXIT_OK
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()
    assert line.startswith(
        "4 games, 136 ticks, 120 hashes compared (2 games without any), 0 mismatches, "
    )


def test_a_check_names_each_game_that_differs_its_tick_and_file_and_fails(games, wrong):
    done = run_farm("--check", games, wrong, cwd=games.parent)
    assert done.returncode == EXIT_INTERNAL
    line, sums = done.stdout.splitlines()
    assert line.startswith("wandering-1 ")
    assert "DIFFERS first after tick 30 of 60: 77726f6e6721 was recorded" in line
    assert line.endswith(f"in {wrong}")
    assert "4 games, 158 ticks, 150 hashes compared" in sums
    assert "1 mismatch, " in sums


def test_without_check_a_difference_fails_too(run_here, wrong):
    assert run_here(wrong).returncode == EXIT_INTERNAL


@pytest.mark.slow
@pytest.mark.skipif(not FOLDER.exists(), reason=ABSENT)
def test_every_conformance_game_agrees():
    done = run_farm("--check", *sorted(FOLDER.glob("*.jsonl.gz")), cwd=ROOT)
    assert done.returncode == EXIT_OK
    assert done.stdout.startswith("144 games, 46,545 ticks, 46,545 hashes compared, 0 mismatches")


@pytest.mark.parametrize(
    ("name", "data", "words", "code"),
    [
        ("noise.replay", b"noise", "neither a .replay file, nor", EXIT_INTERNAL),
        ("bad.jsonl.gz", gzip.compress(b"{]\n"), "line 1: JSON is malformed", EXIT_INTERNAL),
        ("bad.gior", b"\x01\x02", "no replay the farm reads", EXIT_INTERNAL),
        ("absent.gior", None, "No such file", EXIT_UNAVAILABLE),
    ],
)
def test_a_bad_file_is_one_line_that_names_it_and_the_reason(
    run_here, games, name, data, words, code
):
    path = games.parent / name
    if data is not None:
        path.write_bytes(data)
    done = run_here("--check", games, path)
    assert done.returncode == code
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"farm: {path}: ")
    assert words in line
    without_check = run_here(games, path)
    assert (without_check.returncode, without_check.stderr) == (code, done.stderr)


def test_a_check_goes_on_behind_files_that_cannot_be_read(run_here, games, wrong, tmp_path):
    noise, absent, bad = (tmp_path / name for name in ("noise.replay", "absent.gior", "bad.jsonl"))
    noise.write_bytes(b"noise")
    bad.write_bytes(b"{]\n")
    done = run_here("--check", noise, absent, games, bad, games)
    assert done.stdout.startswith("4 games, 136 ticks, 120 hashes compared (2 games without any)")
    assert done.stdout.endswith(" s; 3 errors, named above\n")
    named = [line.split(": ")[1] for line in done.stderr.splitlines()]
    assert named == [str(noise), str(absent), str(bad)]
    assert done.returncode == EXIT_INTERNAL
    assert run_here("--check", absent, games).returncode == EXIT_UNAVAILABLE
    differs = run_here("--check", absent, wrong)
    assert (differs.returncode, len(differs.stdout.splitlines())) == (EXIT_INTERNAL, 2)


def test_a_check_goes_on_behind_a_game_that_cannot_be_played(run_here, games, monkeypatch):
    def verify_others(replay):
        if replay.game_id == "march":
            raise ValueError("a general on a mountain")
        return verify(replay)

    monkeypatch.setattr("farm.cli.replay.verify", verify_others)
    done = run_here("--check", games, games)
    assert done.stdout.startswith("2 games, 120 ticks, 120 hashes compared, 0 mismatches")
    assert done.stderr == f"farm: {games}: game march: a general on a mountain\n" * 2
    assert done.returncode == EXIT_INTERNAL


def test_games_are_imported_and_hashed_on_request(run_here, games):
    out = games.parent / "out.replay"
    done = run_here("--import", games, games, "-o", out)
    assert done.returncode == EXIT_OK
    assert done.stdout == f"{out}: 4 games, {out.stat().st_size:,} bytes\n"
    kept = [found.replay for found in read_replays(games)]
    assert [found.replay for found in read_replays(out)] == kept * 2
    run_here("--import", games, "--add-hashes", "-o", out)
    hashed = [found.replay for found in read_replays(out)]
    assert hashed == [kept[0], with_hashes(kept[1])]
    assert hashed[1].n_hashes == 8


@pytest.fixture
def journals(tmp_path):
    """A folder of two journals: of a game that goes on, and in `ended` of one that was ended."""
    (tmp_path / "ended").mkdir()
    (tmp_path / "7.journal").write_bytes(WRITTEN + b"torn")
    end = end_of(to_replay(decode(WRITTEN)))
    (tmp_path / "ended" / "6.journal").write_bytes(written([*COURSE, end]))
    (tmp_path / "ended" / "5.damaged").write_bytes(b"noise")
    return tmp_path


def test_a_journal_says_whether_its_game_has_ended(run_here, journals):
    done = run_here(journals / "7.journal", journals / "ended" / "6.journal")
    going, ended = done.stdout.splitlines()
    assert going.endswith(
        "  3 ticks  unfinished  no hashes to compare  "
        "journal of a game that has not ended, 4 bytes cut off its end  "
        f"in {journals / '7.journal'}"
    )
    assert "  1 hash agree  journal of an ended game  in" in ended
    assert done.returncode == EXIT_OK


def test_the_journals_of_a_folder_are_checked_together(run_here, journals):
    done = run_here("--check", journals)
    assert done.stdout.startswith("2 games, 6 ticks, 1 hash compared (1 game without any), 0 mis")
    assert run_here(journals / "ended", "--export-text").stdout.startswith("game 7\n")


def test_a_folder_without_recordings_is_a_usage_error(run_here, tmp_path):
    done = run_here(tmp_path)
    assert done.returncode == EXIT_USAGE
    assert done.stderr == f"farm: {tmp_path}: no .journal or .replay files in this folder\n"


@pytest.mark.parametrize("choice", ["1", "march"])
def test_a_game_is_written_as_the_golden_text(run_here, games, choice):
    out = games.parent / "march.txt"
    assert run_here(games, "--game", choice, "--export-text", "-o", out).returncode == EXIT_OK
    assert out.read_text() == GOLDEN.read_text()
    assert run_here(games, "--game", choice, "--export-text").stdout == GOLDEN.read_text()


def test_a_still_is_printed_without_a_terminal(run_here, games):
    done = run_here(games, "--game", "march", "--tick", "5", "--seat", "1")
    assert done.returncode == EXIT_OK
    title, _, first, *_ = done.stdout.splitlines()
    assert title.rstrip() == "march   tick 5 of 100   seen by B"
    assert first.startswith("   -   -   -   -   seat")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--check", "--show"], "--check and --show do not go together"),
        (["--import"], "-o OUT.replay"),
        (["-o", "x"], "-o goes with"),
        (["--add-hashes"], "--add-hashes goes with --import"),
        (["--seat", "1"], "--seat goes with"),
        (["--tick", "1", "--check"], "--tick draws one still"),
        (["--tick", "1", "--seat", "3"], "wandering-0 has seats 0 to 2"),
        (["--game", "9"], "no game has this number"),
        (["--show"], "--show needs a terminal"),
    ],
)
def test_options_that_make_no_sense_are_usage_errors(run_here, games, options, words):
    done = run_here(games, *options)
    assert done.returncode == EXIT_USAGE
    (line,) = done.stderr.splitlines()
    assert words in line


@pytest.mark.parametrize("options", [[], ["x", "--every", "0"], ["x", "--speed", "0"]])
def test_arguments_out_of_bounds_are_refused_by_the_parser(capsys, options):
    with pytest.raises(SystemExit) as caught:
        main(["replay", *options])
    assert caught.value.code == EXIT_USAGE
    assert "farm replay: error: " in capsys.readouterr().err


def test_the_help_teaches(capsys):
    with pytest.raises(SystemExit):
        main(["replay", "--help"])
    text = capsys.readouterr().out
    for words in ("examples:", "--check", "--show", "--import", "--export-text", "exit codes:"):
        assert words in text
