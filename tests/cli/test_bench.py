"""`farm bench`: finds a bench by name, ends with one JSON line, fails when something was lost."""

import inspect
import json
import sys
import types

import pytest

from farm.bench.registry import BENCHES, BenchInfo
from farm.cli import main as cli
from farm.cli.bench import load
from farm.errors import EXIT_INTERNAL, EXIT_OK, EXIT_USAGE


@pytest.fixture
def bench(monkeypatch):
    """Register a bench of these figures; returns what it was called with."""

    def install(figures):
        calls = []
        module = types.ModuleType("farm.bench.of_this_test")

        def run(seconds, overrides):
            calls.append((seconds, list(overrides)))
            sys.stdout.write("some progress\n")
            return figures

        module.run = run
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(BENCHES, "mine", BenchInfo(module.__name__, "of this test"))
        return calls

    return install


def test_the_last_line_is_the_figures_as_json(bench, capsys):
    calls = bench({"records_per_s": 2.5e7, "lost": 0, "corrupt": 0})
    assert cli.main(["bench", "mine", "--seconds", "3", "worker.count=2"]) == EXIT_OK
    assert calls == [(3.0, ["worker.count=2"])]
    *_, last = capsys.readouterr().out.splitlines()
    assert json.loads(last) == {"records_per_s": 2.5e7, "lost": 0, "corrupt": 0}


@pytest.mark.parametrize("figure", ["lost", "corrupt", "inexact"])
def test_anything_lost_corrupt_or_unaccounted_for_fails_the_command(bench, capsys, figure):
    bench({figure: 1})
    assert cli.main(["bench", "mine"]) == EXIT_INTERNAL
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {figure: 1}


def test_benches_are_listed_with_what_they_join(capsys):
    assert cli.main(["bench", "--list"]) == EXIT_OK
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(BENCHES)
    assert {"engine", "ring_1p1c", "farm_to_client"} <= set(BENCHES)


def test_an_unknown_bench_is_a_usage_error_that_suggests_one(capsys):
    assert cli.main(["bench", "ring"]) == EXIT_USAGE
    assert cli.main(["bench", "engin"]) == EXIT_USAGE
    assert "did you mean engine?" in capsys.readouterr().err


def test_no_bench_at_all_is_a_usage_error_that_lists_them(capsys):
    assert cli.main(["bench"]) == EXIT_USAGE
    assert "ring_1p1c" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(BENCHES))
def test_every_bench_takes_seconds_and_overrides(name):
    inspect.signature(load(name)).bind(1.0, ["a=b"])
