"""What processes agree on: codes, limits, layouts, and one fingerprint over them all.

Needs NumPy and nothing else. These names are public and frozen by a test.
"""

from farm.spec.actions import (
    ACTIONS_PER_CELL,
    decode_action,
    encode_action,
    legal_mask,
    n_actions,
    pass_action,
)
from farm.spec.fingerprint import SPEC_VERSION, spec_fingerprint
from farm.spec.limits import MAX_CELLS, MAX_SEATS, MAX_SIDE, MAX_STEPS, MIN_SEATS, MIN_SIDE
from farm.spec.observation import frame_bytes, frame_dtype
from farm.spec.trajectory import checksum, payload_bytes, policy_hash

__all__ = [
    "ACTIONS_PER_CELL",
    "MAX_CELLS",
    "MAX_SEATS",
    "MAX_SIDE",
    "MAX_STEPS",
    "MIN_SEATS",
    "MIN_SIDE",
    "SPEC_VERSION",
    "checksum",
    "decode_action",
    "encode_action",
    "frame_bytes",
    "frame_dtype",
    "legal_mask",
    "n_actions",
    "pass_action",
    "payload_bytes",
    "policy_hash",
    "spec_fingerprint",
]
