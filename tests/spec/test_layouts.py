"""The layouts that other processes and other languages rely on."""

import subprocess
import sys
import zlib

import lz4.block
import numpy as np
import pytest

import farm.spec
from farm import spec
from farm.spec import fingerprint, observation, trajectory


@pytest.mark.parametrize(
    ("height", "width", "n_seats"), [(4, 4, 2), (5, 7, 3), (20, 20, 2), (64, 64, 16)]
)
def test_a_frame_is_laid_out_as_documented(height, width, n_seats):
    n = height * width
    dtype = spec.frame_dtype(height, width, n_seats)
    aligned = -(-3 * n // 4) * 4
    offsets = {name: dtype.fields[name][1] for name in dtype.names}
    assert offsets == {
        "army": 0,
        "tile": 2 * n,
        "total_army": aligned,
        "total_land": aligned + 4 * n_seats,
        "alive": aligned + 6 * n_seats,
    }
    assert dtype.itemsize == spec.frame_bytes(n, n_seats)
    assert dtype.itemsize % 4 == 0
    assert 0 <= dtype.itemsize - (aligned + 7 * n_seats) < 4


def test_a_payload_is_frames_and_ten_bytes_a_step():
    assert spec.payload_bytes(400, 2, 32) == 33 * spec.frame_bytes(400, 2) + 320


def test_prefix_and_header_have_the_documented_sizes_and_no_holes():
    for dtype, size in ((trajectory.CHECKSUM_PREFIX, 32), (trajectory.RECORD_HEADER, 64)):
        assert dtype.itemsize == size
        assert sum(dtype[name].itemsize for name in dtype.names) == size


def test_the_checksum_covers_prefix_and_payload():
    assert spec.checksum(b"prefix", b"payload") == zlib.crc32(b"prefixpayload")
    assert spec.checksum(b"prefiy", b"payload") != zlib.crc32(b"prefixpayload")


def test_the_bound_of_a_block_holds_for_bytes_that_do_not_compress():
    noise = np.random.default_rng(0).integers(0, 256, 100_000).astype(np.uint8).tobytes()
    assert len(lz4.block.compress(noise, store_size=False)) <= trajectory.compressed_bound(100_000)


def test_the_fingerprint_is_the_same_in_every_process():
    code = "import farm.spec; print(farm.spec.spec_fingerprint())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert int(other.stdout) == spec.spec_fingerprint()


@pytest.mark.parametrize(
    "change",
    [
        lambda patch: patch.setattr(fingerprint, "SPEC_VERSION", 99),
        lambda patch: patch.setattr(trajectory, "RECORD_HEADER", np.dtype("u8")),
        lambda patch: patch.setattr(observation, "score_offset", lambda n_cells: 4 * n_cells),
    ],
)
def test_the_fingerprint_changes_with_version_and_layouts(monkeypatch, change):
    before = spec.spec_fingerprint()
    change(monkeypatch)
    assert spec.spec_fingerprint() != before


def test_the_public_names_are_these():
    assert sorted(farm.spec.__all__) == [
        "ACTIONS_PER_CELL", "MAX_CELLS", "MAX_SEATS", "MAX_SIDE", "MAX_STEPS", "MIN_SEATS",
        "MIN_SIDE", "SPEC_VERSION", "checksum", "decode_action", "encode_action", "frame_bytes",
        "frame_dtype", "legal_mask", "n_actions", "pass_action", "payload_bytes", "policy_hash",
        "spec_fingerprint",
    ]  # fmt: skip


def test_the_spec_needs_numpy_and_nothing_else():
    code = (
        "import sys, farm.spec; "
        "print(sorted({name.partition('.')[0] for name in sys.modules} & "
        "{'numba', 'grpc', 'google', 'hydra', 'structlog', 'msgspec', 'lz4', 'rich', 'psutil'}))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    assert loaded.stdout.strip() == "[]"


def test_the_count_of_experiences_is_where_it_is_said_to_be():
    assert trajectory.RECORD_HEADER.fields["n_steps"] == (np.dtype("<u2"), 56)
    assert trajectory.N_STEPS_OFFSET == 56
