"""Environments without a farm: Gymnasium and PettingZoo over the engine's kernels."""
