"""A farm of test targets."""

import json
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def child(name, target="beats", **more):
    """An entry of `mini_farm.py`'s plan."""
    return {"name": name, "target": f"targets:{target}", **more}


def _mini_farm(start, instance):
    def start_farm(*children, env=None, wrapper=(), within=(), **plan):
        paths = {"PYTHONPATH": f"{ROOT}:{HERE}"}
        plan_text = json.dumps({"children": children, **plan})
        command = [*wrapper, HERE / "mini_farm.py", instance, plan_text]
        return start(command, env={**paths, **(env or {})}, within=within)

    return start_farm


@pytest.fixture
def mini_farm(start_process, instance):
    """Starts `mini_farm.py` with these children and rules.

    `wrapper`: arguments of Python before it, `within`: a command that runs Python.
    """
    return _mini_farm(start_process, instance)


@pytest.fixture(scope="module")
def shared_mini_farm(start_shared, shared_instance):
    """Likewise, for one farm that many tests look at."""
    return _mini_farm(start_shared, shared_instance)


@pytest.fixture(name="child", scope="session")
def child_fixture():
    return child
