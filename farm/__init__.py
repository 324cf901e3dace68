"""A multiprocess shared-memory simulation farm for generals.io reinforcement learning."""
