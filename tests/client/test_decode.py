"""Trajectories: what goes in comes out, and what is corrupt never does."""

import zlib

import lz4.block
import numpy as np
import pytest
from google.protobuf.message import DecodeError
from handmade import Spec, contents, message
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.client import Shape, Trajectory
from farm.errors import CorruptDataError, UsageError
from farm.rpc.v1 import experience_pb2
from farm.spec import frame_dtype
from farm.spec.trajectory import CHECKSUM_PREFIX


def specs():
    return st.builds(
        Spec,
        sequence=st.integers(0, (1 << 64) - 1),
        worker=st.integers(0, 63),
        generation=st.integers(0, 1 << 20),
        game_id=st.integers(0, (1 << 63) - 1),
        seat=st.integers(0, 15),
        n_seats=st.integers(2, 16),
        n_allies=st.integers(0, 15),
        height=st.integers(4, 12),
        width=st.integers(4, 12),
        first_tick=st.integers(0, 50_000),
        n_steps=st.integers(1, 40),
        terminated=st.booleans(),
        truncated=st.booleans(),
        policy=st.sampled_from(["random", "expander", "", "ünïcode"]),
        has_memory=st.booleans(),
        seed=st.integers(0, 1 << 30),
    )


@settings(max_examples=80, deadline=None)
@given(spec=specs())
def test_arrays_and_metadata_come_out_as_they_went_in(spec):
    arrays = contents(spec)
    wire = message(spec, arrays=arrays).SerializeToString()
    trajectory = Trajectory(experience_pb2.Trajectory.FromString(wire))
    trajectory.verify()
    dtype = frame_dtype(spec.height, spec.width, spec.n_seats)
    assert trajectory.frames.dtype == dtype
    assert trajectory.frames.tobytes() == arrays.frames.tobytes()
    assert trajectory.obs.tobytes() == arrays.frames[:-1].tobytes()
    assert trajectory.next_obs.tobytes() == arrays.frames[1:].tobytes()
    if spec.has_memory:
        assert trajectory.first_memory.tobytes() == arrays.memory.tobytes()
    np.testing.assert_array_equal(trajectory.reward, arrays.reward, strict=True)
    np.testing.assert_array_equal(trajectory.log_prob, arrays.log_prob, strict=True)
    np.testing.assert_array_equal(trajectory.action, arrays.action, strict=True)
    for name in (
        *("sequence", "worker", "generation", "game_id", "seat", "n_seats", "n_allies", "height"),
        *("width", "first_tick", "n_steps", "terminated", "truncated", "policy", "wall_time_ns"),
        "has_memory",
    ):
        assert getattr(trajectory, name) == getattr(spec, name), name
    assert trajectory.shape == Shape(spec.height, spec.width, spec.n_seats)
    assert (trajectory.policy_version, trajectory.config_epoch) == (1, 1)


def test_arrays_cannot_be_written():
    trajectory = Trajectory(message(Spec()))
    for array in (trajectory.frames, trajectory.reward, trajectory.action):
        assert not array.flags.writeable


def test_decoding_happens_once():
    trajectory = Trajectory(message(Spec()))
    assert trajectory.decode() is trajectory.decode()


def test_what_is_not_kept_is_decoded_again():
    trajectory = Trajectory(message(Spec()))
    assert trajectory.decode(keep=False) is not trajectory.decode(keep=False)
    assert trajectory.decode(keep=False) == trajectory.decode()


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_bit_of_a_message_can_flip_unnoticed(place, bit):
    original = message(Spec())
    wire = bytearray(original.SerializeToString())
    place %= len(wire)
    wire[place] ^= 1 << bit
    try:
        parsed = experience_pb2.Trajectory.FromString(bytes(wire))
    except DecodeError:
        return  # protobuf refuses it
    checked = (
        *("sequence", "game_id", "first_tick", "worker", "n_steps", "seat", "n_seats", "height"),
        *("width", "terminated", "truncated", "payload"),
    )
    unharmed = all(getattr(parsed, name) == getattr(original, name) for name in checked)
    if unharmed:
        return  # it hit the name of the policy, a time or the like: not under the checksum
    with pytest.raises(CorruptDataError):
        Trajectory(parsed).frames  # noqa: B018 - raises


@pytest.mark.parametrize("has_memory", [True, False])
def test_a_flag_of_memory_that_is_flipped_is_found_out_by_the_length(has_memory):
    flipped = message(Spec(has_memory=has_memory))
    flipped.has_memory = not has_memory
    trajectory = Trajectory(flipped)
    trajectory.verify()
    with pytest.raises(CorruptDataError):
        trajectory.decode()


def test_a_trajectory_without_memory_says_how_to_get_one():
    for name in ("first_memory", "memory"):
        with pytest.raises(UsageError, match=r"worker\.memory=true"):
            getattr(Trajectory(message(Spec())), name)


def test_the_memory_of_a_frame_is_what_it_shows_and_else_the_memory_before():
    trajectory = Trajectory(message(Spec(has_memory=True, n_steps=20, seed=3)))
    army = trajectory.first_memory["army"][0].copy()
    tile = trajectory.first_memory["tile"][0].copy()
    frames, memory = trajectory.frames, trajectory.memory
    assert len(memory) == len(frames) == 21
    for step in range(21):
        for cell in np.ndindex(tile.shape):
            if frames["tile"][step][cell] & 31 != 31:
                army[cell], tile[cell] = frames["army"][step][cell], frames["tile"][step][cell]
        np.testing.assert_array_equal(memory["army"][step], army)
        np.testing.assert_array_equal(memory["tile"][step], tile)


def test_a_wrong_checksum_is_never_decoded(monkeypatch):
    monkeypatch.setattr("farm.client.decode._decompress", fails)
    with pytest.raises(CorruptDataError, match="checksum"):
        Trajectory(message(Spec(), checksum=1)).decode()


def fails(*_args, **_kwargs):
    raise AssertionError("decoded")


def signed(spec, payload, **changes):
    """A message whose checksum is right, whatever its payload and its fields."""
    made = message(spec, payload=payload)
    for name, value in changes.items():
        setattr(made, name, value)
    prefix = np.zeros(1, dtype=CHECKSUM_PREFIX)
    for name in prefix.dtype.names:
        prefix[name] = getattr(made, name)
    made.checksum = zlib.crc32(payload, zlib.crc32(prefix.tobytes()))
    return made


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x00", b"no lz4 block at all", lz4.block.compress(b"short", store_size=False)],
)
def test_a_payload_of_another_size_is_corrupt_though_its_checksum_is_right(payload):
    with pytest.raises(CorruptDataError):
        Trajectory(signed(Spec(), payload)).decode()


def test_a_payload_that_expands_beyond_its_shape_is_corrupt():
    bomb = lz4.block.compress(bytes(1 << 20), store_size=False)
    with pytest.raises(CorruptDataError):
        Trajectory(signed(Spec(), bomb)).decode()


@pytest.mark.parametrize(
    "changes",
    [
        {"height": 0},
        {"height": 65},
        {"width": 3},
        {"n_seats": 1},
        {"n_seats": 17},
        {"n_steps": 0},
        {"n_steps": 257},
    ],
)
def test_a_shape_that_cannot_be_is_corrupt(changes):
    with pytest.raises(CorruptDataError):
        Trajectory(signed(Spec(), b"x", **changes)).decode()


@pytest.mark.parametrize("changes", [{"seat": 256}, {"n_steps": 1 << 20}, {"worker": 1 << 16}])
def test_a_field_beyond_its_bounds_is_corrupt(changes):
    made = message(Spec())
    for name, value in changes.items():
        setattr(made, name, value)
    with pytest.raises(CorruptDataError, match="out of bounds"):
        Trajectory(made).verify()
