"""The files of an operator, changed under a running farm that watches them."""

import json
import subprocess
import sys

import pytest

from farm.config.load import conf_dir
from farm.shm.control import ControlBlock

pytestmark = pytest.mark.timeout(400)

MINE = "# Ours.\ndefaults:\n  - default\n\nmax_turns: {}\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A config as a configuration manager keeps it: a symlink to one version of a folder."""
    top = tmp_path_factory.mktemp("etc")
    for version, turns in (("v1", 50), ("v2", 60)):
        (top / version / "match").mkdir(parents=True)
        text = (conf_dir() / "config.yaml").read_text()
        text = text.replace("- match: default", "- match: mine").replace(
            "watch: false", "watch: true"
        )
        (top / version / "config.yaml").write_text(text)
        (top / version / "match" / "mine.yaml").write_text(MINE.format(turns))
    (top / "farm").symlink_to("v1")
    return top / "farm"


@pytest.fixture(scope="module")
def story(shared_farm_up, shared_instance, folder):
    """One farm, and what it says to each change of its files."""
    told = type("Story", (), {})()
    up = shared_farm_up(
        "worker.games=4", f"ring.bytes={1 << 20}", "seed=3", options=["--config-dir", folder]
    )
    told.up, told.control = up, ControlBlock.attach(shared_instance, readonly=True)
    mine = folder / "match" / "mine.yaml"

    told.first = _turns(told.control)
    mine.write_text(MINE.format(51))
    up.wait_for("config_changed", key="match.max_turns", new=51)
    replacing = folder / "match" / "mine.new"
    replacing.write_text(MINE.format(52))
    replacing.rename(mine)
    up.wait_for("config_changed", key="match.max_turns", new=52)
    swapped = folder.parent / "farm.new"
    swapped.symlink_to("v2")
    swapped.rename(folder)
    up.wait_for("config_changed", key="match.max_turns", new=60)
    told.refusals = []
    for nth, wrong in enumerate(
        ("seats: [expander, ran", "max_turns: many", "max_turn: 9", "board: 3x3", "pad: true"), 1
    ):
        if wrong == "pad: true":
            text = (folder / "config.yaml").read_text()
            (folder / "config.yaml").write_text(text.replace("instance: default", "instance: x"))
            command = ["reload", "--wait", "--instance", shared_instance]
            done = subprocess.run(
                [sys.executable, "-m", "farm.cli.main", *command, "--json"],
                check=True,
                capture_output=True,
                timeout=60,
            )
            told.on_top = json.loads(done.stdout)
            break
        mine.write_text(f"# Ours.\ndefaults:\n  - default\n\n{wrong}\n")
        told.refusals.append(up.wait_for("config_refused", nth=nth)["reason"])
        told.ok_after_refusal = told.control.last_reload_ok
        told.after_refusal = _turns(told.control)
        mine.write_text(MINE.format(60))
        up.wait_for("config_reloaded", nth=3 + nth)
    told.ok_at_the_end = told.control.last_reload_ok
    told.returncode = up.stop()
    return told


def _turns(control):
    return json.loads(control.load_config()[1])["match"]["max_turns"]


def test_files_of_a_folder_are_laid_over_the_packaged_ones(story):
    assert story.first == 50


def test_every_way_to_write_a_file_is_noticed(story):
    turns = [line["new"] for line in story.up.events("config_changed", key="match.max_turns")]
    assert turns == [51, 52, 60]


def test_a_bad_file_changes_nothing_and_one_line_names_file_or_key_and_the_reason(story):
    truncated, wrong_type, unknown, impossible = story.refusals
    assert "mine.yaml:" in truncated
    assert "match.max_turns" in wrong_type
    assert "mine.yaml" in wrong_type
    assert "match.max_turn" in unknown
    assert "mine.yaml" in unknown
    assert "match.board" in impossible
    assert story.ok_after_refusal == 0
    assert story.after_refusal == 60
    assert len(story.up.events("config_refused")) == 4


def test_what_the_farm_was_started_with_stays_on_top(story):
    assert story.on_top["outcome"] == "done"
    assert story.on_top["changes"] == []
    assert story.ok_at_the_end == 1


def test_it_stops_as_ever(story):
    assert story.returncode == 0
