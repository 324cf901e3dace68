"""Batches: trajectories end to end, row by row."""

import numpy as np
import pytest
from handmade import Spec, contents, message
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.client import PLANES, Shape, Trajectory, group_by_shape, planes, stack
from farm.errors import CorruptDataError, UsageError
from farm.spec import legal_mask


def made(*specs):
    return [Trajectory(message(spec)) for spec in specs]


def spec_lists():
    spec = st.builds(
        Spec,
        game_id=st.integers(0, 9),
        seat=st.integers(0, 3),
        n_seats=st.just(4),
        n_allies=st.integers(0, 2),
        first_tick=st.integers(0, 500),
        n_steps=st.integers(1, 9),
        terminated=st.booleans(),
        truncated=st.booleans(),
        has_memory=st.booleans(),
        seed=st.integers(0, 99),
    )
    return st.lists(spec, min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(specs=spec_lists())
def test_rows_are_the_steps_in_order(specs):
    batch = stack(made(*specs))
    arrays = [contents(spec) for spec in specs]
    assert len(batch) == sum(spec.n_steps for spec in specs)
    assert batch.obs.tobytes() == b"".join(a.frames[:-1].tobytes() for a in arrays)
    assert batch.next_obs.tobytes() == b"".join(a.frames[1:].tobytes() for a in arrays)
    assert batch.final_obs.tobytes() == b"".join(a.frames[-1].tobytes() for a in arrays)
    for name in ("reward", "log_prob", "action"):
        expected = np.concatenate([getattr(a, name) for a in arrays])
        np.testing.assert_array_equal(getattr(batch, name), expected)
    rows = [(spec, step) for spec in specs for step in range(spec.n_steps)]
    for row, (spec, step) in enumerate(rows):
        is_last = step == spec.n_steps - 1
        assert batch.terminated[row] == (is_last and spec.terminated)
        assert batch.truncated[row] == (is_last and spec.truncated)
        assert batch.tick[row] == spec.first_tick + step
        assert (batch.game_id[row], batch.seat[row]) == (spec.game_id, spec.seat)
        assert batch.n_allies[row] == spec.n_allies
    assert np.diff(batch.starts).tolist() == [spec.n_steps for spec in specs]


@settings(max_examples=40, deadline=None)
@given(specs=spec_lists())
def test_the_memories_of_a_batch_are_those_of_its_trajectories(specs):
    trajectories = made(*(spec.but(has_memory=True) for spec in specs))
    batch = stack(trajectories)
    memories = [trajectory.memory for trajectory in trajectories]
    for name in ("army", "tile"):
        first = np.concatenate([t.first_memory[name] for t in trajectories])
        np.testing.assert_array_equal(batch.first_memory[name], first)
        expected = np.concatenate([memory[name][:-1] for memory in memories])
        np.testing.assert_array_equal(batch.memory[name], expected)
        expected = np.concatenate([memory[name][1:] for memory in memories])
        np.testing.assert_array_equal(batch.next_memory[name], expected)


def test_a_batch_with_a_trajectory_without_memory_has_none_and_says_so():
    batch = stack(made(Spec(has_memory=True), Spec()))
    assert batch.first_memory is None
    for wanted in ("memory", "next_memory"):
        with pytest.raises(UsageError, match=r"worker\.memory=true"):
            getattr(batch, wanted)
    with pytest.raises(UsageError, match=r"worker\.memory=true"):
        batch.planes(memory=True)
    assert batch.planes().shape[1] == len(PLANES)


def test_planes_with_memory_are_those_of_the_memories_beside_the_frames():
    batch = stack(
        made(Spec(has_memory=True, n_allies=1, n_seats=3), Spec(has_memory=True, n_seats=3))
    )
    expected = planes(batch.obs, batch.n_allies, memory=batch.memory)
    np.testing.assert_array_equal(batch.planes(memory=True), expected)
    expected = planes(batch.next_obs, batch.n_allies, memory=batch.next_memory)
    np.testing.assert_array_equal(batch.next_planes(memory=True), expected)
    out = np.empty(expected.shape, np.float16)
    assert batch.next_planes(memory=True, out=out) is out
    np.testing.assert_array_equal(out, expected.astype(np.float16))


def test_types_are_those_that_a_learner_takes():
    batch = stack(made(Spec(), Spec(seat=1)))
    assert batch.action.dtype == np.int64
    assert batch.reward.dtype == batch.log_prob.dtype == np.float32
    assert batch.terminated.dtype == batch.truncated.dtype == np.bool_
    assert batch.planes().dtype == np.float32


def test_the_legal_mask_is_that_of_the_spec_for_each_row_and_its_team():
    specs = [Spec(n_seats=4, n_allies=n, seed=n) for n in (0, 2, 0, 1)]
    batch = stack(made(*specs))
    for row in range(len(batch)):
        frame = batch.obs[row]
        expected = legal_mask(frame["tile"], frame["army"], int(batch.n_allies[row]))
        np.testing.assert_array_equal(batch.legal_mask[row], expected)


def test_derived_arrays_are_made_once():
    batch = stack(made(Spec()))
    assert batch.legal_mask is batch.legal_mask
    assert batch.next_obs is batch.next_obs


def test_planes_of_the_next_observation_are_those_of_next_obs():
    batch = stack(made(Spec(), Spec(seat=1)))
    np.testing.assert_array_equal(batch.next_planes()[:-1][:3], batch.planes()[1:4])


def test_stacking_leaves_no_decoded_payload_behind():
    trajectories = made(Spec())
    stack(trajectories)
    assert trajectories[0]._raw is None


def test_shapes_that_differ_are_named_with_what_to_do():
    mixed = made(Spec(), Spec(height=8, n_seats=3))
    with pytest.raises(UsageError, match=r"6x5 with 2 seats, 8x5 with 3 seats.*group_by_shape"):
        stack(mixed)


def test_groups_by_shape_can_be_stacked():
    mixed = made(Spec(), Spec(height=8), Spec(seat=1))
    groups = group_by_shape(mixed)
    assert {shape: len(group) for shape, group in groups.items()} == {
        Shape(6, 5, 2): 2,
        Shape(8, 5, 2): 1,
    }
    assert sum(len(stack(group)) for group in groups.values()) == 12


def test_nothing_cannot_be_stacked():
    with pytest.raises(UsageError, match="no trajectories"):
        stack([])


def test_one_corrupt_trajectory_spoils_the_batch():
    with pytest.raises(CorruptDataError):
        stack([*made(Spec()), Trajectory(message(Spec(), checksum=0))])
