"""The example learns: the contract of the vector environment is enough for a learner."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gymnasium", reason="farm[envs] is not installed")

PATH = Path(__file__).resolve().parents[2] / "tools" / "train_example.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("train_example", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_few_updates_teach_it_to_take_land(example):
    weights, history = example.train(8, num_envs=32, seed=1)
    assert np.isfinite(history).all()
    assert weights["free land"] > weights["own land"] + 0.3
