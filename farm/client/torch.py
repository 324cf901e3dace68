"""Batches as torch tensors; for those who have torch, which nothing else of the farm loads.

    from farm.client import torch as batches

    x = batches.planes(batch, device="cuda", dtype=torch.float16, memory=True)

On the CPU a tensor shares its memory with the NumPy array that was made for it: nothing is copied
that NumPy would not have copied. For a GPU the array is made in page-locked memory, from which the
one copy to the device runs beside Python.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from farm.client.planes import MEMORY_PLANES, PLANES
from farm.client.stack import Batch
from farm.errors import UsageError

Device: TypeAlias = torch.device | str | int | None
"""Where a tensor goes; None is the CPU."""

_FLOATS = (torch.float16, torch.float32, torch.float64)
"""Those that NumPy knows too."""


class Columns(NamedTuple):
    """What a learner takes of a batch beside planes and masks; N experiences."""

    action: torch.Tensor
    """int64[N]: action index (spec.actions)."""
    reward: torch.Tensor
    """float32[N]."""
    log_prob: torch.Tensor
    """float32[N]: of the action, under the policy that took it."""
    terminated: torch.Tensor
    """bool[N]."""
    truncated: torch.Tensor
    """bool[N]."""


def planes(
    batch: Batch,
    *,
    dtype: torch.dtype = torch.float32,
    device: Device = None,
    memory: bool = False,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """`obs` as float planes: dtype[N, C, height, width] (`Batch.planes`).

    Args:
        batch: N experiences.
        dtype: float16, float32 or float64.
        device: where to; on the CPU nothing is copied.
        memory: whether to add the channels `farm.client.MEMORY_PLANES`.
        out: a tensor on the CPU to write to instead of new memory; then its own type counts. It is
            what comes back, unless `device` is another.

    Raises:
        UsageError: NumPy has no such type, `out` is on another device, or there is no memory.
        ValueError: `out` has another shape.
    """
    return _moved(_filled(batch, batch.planes, dtype, device, memory=memory, out=out), device)


def next_planes(
    batch: Batch,
    *,
    dtype: torch.dtype = torch.float32,
    device: Device = None,
    memory: bool = False,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """`next_obs` as float planes; arguments and errors as of `planes`."""
    return _moved(_filled(batch, batch.next_planes, dtype, device, memory=memory, out=out), device)


def legal_mask(batch: Batch, *, device: Device = None) -> torch.Tensor:
    """bool[N, 8 * height * width + 1]: legal actions in `obs`."""
    return _moved(torch.from_numpy(batch.legal_mask), device)


def columns(batch: Batch, *, device: Device = None) -> Columns:
    """Actions, rewards, log-probabilities and flags; on the CPU the batch's own memory."""
    arrays = (batch.action, batch.reward, batch.log_prob, batch.terminated, batch.truncated)
    return Columns(*(_moved(torch.from_numpy(array), device) for array in arrays))


def _filled(
    batch: Batch,
    fill: Callable[..., NDArray[np.floating[Any]]],
    dtype: torch.dtype,
    device: Device,
    *,
    memory: bool,
    out: torch.Tensor | None,
) -> torch.Tensor:
    """Planes in a tensor on the CPU, page-locked where a GPU is to take them."""
    if out is None:
        n_channels = len(PLANES) + memory * len(MEMORY_PLANES)
        shape = (len(batch), n_channels, *batch.obs["tile"].shape[1:])
        _check_type(dtype)
        out = torch.empty(shape, dtype=dtype, pin_memory=_is_gpu(device))
    elif out.device.type != "cpu":
        raise UsageError(f"planes are written on the CPU, not on {out.device}; pass device instead")
    _check_type(out.dtype)
    fill(memory=memory, out=out.detach().numpy())
    return out


def _check_type(dtype: torch.dtype) -> None:
    if dtype not in _FLOATS:
        known = ", ".join(str(one).removeprefix("torch.") for one in _FLOATS)
        raise UsageError(f"planes are made as {known}, not {dtype}; convert them where they go")


def _is_gpu(device: Device) -> bool:
    return device is not None and torch.device(device).type == "cuda"


def _moved(tensor: torch.Tensor, device: Device) -> torch.Tensor:
    return tensor if device is None else tensor.to(device, non_blocking=True)
