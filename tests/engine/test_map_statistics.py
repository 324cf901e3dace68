"""The tool that compares official maps with the means of the rules prints what it says."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from engine.official_maps import official_maps, openness

PATH = Path(__file__).resolve().parents[2] / "tools" / "map_statistics.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("map_statistics", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_prints_a_row_for_every_kind_of_game_beside_its_reference(tool, monkeypatch, capsys):
    command = ["map_statistics.py", "--maps", "5", "--players", "2,16", "--teams", "0,0,1,1"]
    monkeypatch.setattr(sys, "argv", command)
    tool.main()
    printed = capsys.readouterr()
    names = [line.partition(" | ")[0].strip() for line in printed.out.splitlines()]
    assert names == ["game", "2 alone", "reference", "16 alone", "teams 0,0,1,1"]
    assert "5 of 5 maps" in printed.err


def test_its_openness_is_the_one_of_the_rules(tool):
    drawn, _ = tool.draw_maps(3, 4, seed=9)
    expected = list(official_maps(3, 4, seed=9))
    for one, other in zip(drawn, expected, strict=True):
        assert list(one.generals) == other.generals
        for cell in one.generals:
            assert tool.openness(one, cell) == pytest.approx(openness(other, cell))


def test_a_favoured_seat_is_found_and_a_fair_draw_is_not(tool):
    rng = np.random.default_rng(1)
    fair = rng.random((1000, 4))
    assert tool.favour(fair) < 4
    assert tool.favour(fair + np.array([0.2, 0, 0, 0])) > 4
    assert tool.favour(np.ones((1000, 4))) == 0
