"""Batches as torch tensors: the same numbers as NumPy's, in the same memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from handmade import Spec, message

torch = pytest.importorskip("torch", reason="torch is not installed")

from farm.client import MEMORY_PLANES, PLANES, Trajectory, stack
from farm.client import torch as batches
from farm.errors import UsageError

TYPES = {torch.float16: np.float16, torch.float32: np.float32, torch.float64: np.float64}
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.fixture
def batch():
    specs = (Spec(has_memory=True, seed=1), Spec(has_memory=True, seed=2, n_steps=7, n_allies=1))
    return stack(Trajectory(message(spec)) for spec in specs)


@pytest.mark.parametrize("memory", [False, True])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", ["planes", "next_planes"])
def test_planes_are_those_of_numpy(batch, name, dtype, memory):
    made = getattr(batches, name)(batch, dtype=dtype, memory=memory)
    assert made.dtype == dtype
    expected = getattr(batch, name)(TYPES[dtype], memory=memory)
    np.testing.assert_array_equal(made.numpy(), expected, strict=True)


def test_planes_are_written_where_they_are_wanted(batch):
    room = torch.full((2 * len(batch), len(PLANES) + len(MEMORY_PLANES), 6, 5), 7.0)
    half = room[len(batch) :]
    assert batches.planes(batch, memory=True, out=half) is half
    np.testing.assert_array_equal(half.numpy(), batch.planes(memory=True))
    assert (room[: len(batch)] == 7).all()


def test_masks_and_columns_share_their_memory_with_the_batch(batch):
    mask = batches.legal_mask(batch)
    assert mask.dtype == torch.bool
    assert np.shares_memory(mask.numpy(), batch.legal_mask)
    for name, tensor in batches.columns(batch)._asdict().items():
        assert np.shares_memory(tensor.numpy(), getattr(batch, name)), name


def test_tensors_go_to_the_device_that_is_named(batch):
    assert batches.planes(batch, device="meta").device.type == "meta"
    assert batches.legal_mask(batch, device="meta").device.type == "meta"
    assert {tensor.device.type for tensor in batches.columns(batch, device="meta")} == {"meta"}
    room = torch.empty_like(batches.planes(batch))
    assert batches.planes(batch, device="cpu", out=room) is room


@gpu
def test_on_a_gpu_they_are_the_same_numbers(batch):
    made = batches.planes(batch, device="cuda", dtype=torch.float16)
    np.testing.assert_array_equal(made.cpu().numpy(), batch.planes(np.float16))


def test_types_that_numpy_lacks_and_room_elsewhere_are_refused(batch):
    with pytest.raises(UsageError, match="float16, float32, float64, not torch"):
        batches.planes(batch, dtype=torch.bfloat16)
    with pytest.raises(UsageError, match="not on meta"):
        batches.planes(batch, out=torch.empty(3, device="meta"))
    with pytest.raises(ValueError, match="planes are floats of shape"):
        batches.planes(batch, out=torch.empty(3))


def test_the_client_itself_does_not_load_torch():
    script = "import sys, farm.client; assert 'torch' not in sys.modules"
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", script], check=True, cwd=root)
