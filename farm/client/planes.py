"""Frames as float planes: `farm.spec.planes`, under the name that clients know."""

from farm.spec.planes import PLANES, FloatType, legal_masks, planes

__all__ = ["PLANES", "FloatType", "legal_masks", "planes"]
