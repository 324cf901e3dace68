"""Frames as float planes: `farm.spec.planes`, under the name that clients know."""

from farm.spec.planes import MEMORY_PLANES, PLANES, FloatType, legal_masks, planes

__all__ = ["MEMORY_PLANES", "PLANES", "FloatType", "legal_masks", "planes"]
