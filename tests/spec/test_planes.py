"""Planes against a loop over cells that spells the tile codes out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.spec import frame_dtype, tiles
from farm.spec.observation import memory_dtype
from farm.spec.planes import MEMORY_PLANES, PLANES, planes

HEIGHT, WIDTH = 4, 5
TERRAINS = {"mountain": 3, "city": 1, "general": 2, "swamp": 4, "desert": 5, "obstacle": 6}


def random_frames(n, n_seats, seed):
    rng = np.random.default_rng(seed)
    frames = np.zeros(n, dtype=frame_dtype(HEIGHT, WIDTH, n_seats))
    owners = np.array([*range(n_seats + 1), tiles.FOG])
    terrain = rng.integers(0, 7, frames["tile"].shape)
    frames["tile"] = terrain << tiles.OWNER_BITS | rng.choice(owners, frames["tile"].shape)
    frames["army"] = rng.integers(0, 1 << 16, frames["army"].shape)
    frames["total_army"] = rng.integers(0, 1 << 20, frames["total_army"].shape)
    frames["total_land"] = rng.integers(0, HEIGHT * WIDTH, frames["total_land"].shape)
    return frames


def owner_name(owner, n_allies):
    if owner in (0, 31):
        return {0: "neutral", 31: "fog"}[owner]
    if owner == 1:
        return "self"
    return "teammate" if owner <= 1 + n_allies else "enemy"


def expected_cell(frame, row, column, n_allies):
    tile = int(frame["tile"][row, column])
    whose = owner_name(tile & 31, n_allies)
    cell = dict.fromkeys(PLANES, 0.0)
    for name, code in TERRAINS.items():
        cell[name] = float(tile >> 5 == code)
    cell[whose] = 1.0
    if whose != "fog":
        cell[f"army_{whose}"] = float(frame["army"][row, column])
    for score in ("total_army", "total_land"):
        values = frame[score].tolist()
        cell[f"{score}_self"] = float(values[0])
        cell[f"{score}_teammate"] = float(sum(values[1 : 1 + n_allies]))
        cell[f"{score}_enemy"] = float(sum(values[1 + n_allies :]))
    return [cell[name] for name in PLANES]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1 << 30), n_seats=st.integers(2, 6), n_allies=st.integers(0, 5))
def test_every_cell_says_what_its_tile_code_says(seed, n_seats, n_allies):
    n_allies = min(n_allies, n_seats - 1)
    frames = random_frames(3, n_seats, seed)
    made = planes(frames, n_allies)
    assert made.shape == (3, len(PLANES), HEIGHT, WIDTH)
    for index, frame in enumerate(frames):
        for row in range(HEIGHT):
            for column in range(WIDTH):
                expected = expected_cell(frame, row, column, n_allies)
                assert made[index, :, row, column].tolist() == expected


def random_memory(n, n_seats, seed):
    rng = np.random.default_rng(seed)
    memory = np.zeros(n, dtype=memory_dtype(HEIGHT, WIDTH))
    owner = rng.integers(0, n_seats + 1, memory["tile"].shape)
    tile = rng.integers(0, 6, memory["tile"].shape) << tiles.OWNER_BITS | owner
    seen = rng.random(memory["tile"].shape) < 0.7
    memory["tile"] = np.where(seen, tile, tiles.NEVER_SEEN)
    memory["army"] = np.where(seen, rng.integers(0, 1 << 16, seen.shape), 0)
    return memory


def expected_memory(frame, memory, row, column, n_allies):
    cell = dict.fromkeys(MEMORY_PLANES, 0.0)
    tile = int(memory["tile"][row, column])
    if int(frame["tile"][row, column]) & 31 == 31 and tile != 31:
        whose = owner_name(tile & 31, n_allies)
        for name in ("mountain", "city", "general", "desert"):
            cell[f"remembered_{name}"] = float(tile >> 5 == TERRAINS[name])
        cell[f"remembered_{whose}"] = 1.0
        cell[f"remembered_army_{whose}"] = float(memory["army"][row, column])
    return [cell[name] for name in MEMORY_PLANES]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1 << 30), n_seats=st.integers(2, 6), n_allies=st.integers(0, 5))
def test_memory_planes_say_what_was_seen_of_cells_out_of_sight(seed, n_seats, n_allies):
    n_allies = min(n_allies, n_seats - 1)
    frames, memory = random_frames(70, n_seats, seed), random_memory(70, n_seats, seed)
    made = planes(frames, n_allies, memory=memory)
    assert made.shape == (70, len(PLANES) + len(MEMORY_PLANES), HEIGHT, WIDTH)
    np.testing.assert_array_equal(made[:, : len(PLANES)], planes(frames, n_allies))
    for index in (0, 1, 69):
        for row in range(HEIGHT):
            for column in range(WIDTH):
                expected = expected_memory(frames[index], memory[index], row, column, n_allies)
                assert made[index, len(PLANES) :, row, column].tolist() == expected


def test_planes_are_written_where_they_are_wanted_and_nowhere_else():
    frames = random_frames(3, 2, 1)
    room = np.full((5, len(PLANES), HEIGHT, WIDTH), 7, np.float16)
    assert np.shares_memory(planes(frames, 0, out=room[1:4]), room)
    np.testing.assert_array_equal(room[1:4], planes(frames, 0, np.float16))
    assert (room[[0, 4]] == 7).all()


@pytest.mark.parametrize("out", [np.empty((3, 21, 4, 4), "f4"), np.empty((3, 21, 4, 5), "i4")])
def test_room_of_another_shape_or_kind_is_refused(out):
    with pytest.raises(ValueError, match=r"planes are floats of shape \(3, 21, 4, 5\)"):
        planes(random_frames(3, 2, 1), 0, out=out)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1 << 30))
def test_every_cell_has_exactly_one_kind_of_owner(seed):
    made = planes(random_frames(5, 6, seed), 2)
    owners = made[:, [PLANES.index(n) for n in ("self", "teammate", "enemy", "neutral", "fog")]]
    assert (owners.sum(axis=1) == 1).all()


def test_teams_may_differ_from_row_to_row():
    frames = random_frames(200, 6, 3)
    n_allies = np.arange(200) % 4
    mixed = planes(frames, n_allies)
    for count in range(4):
        rows = n_allies == count
        np.testing.assert_array_equal(mixed[rows], planes(frames[rows], count))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_type_is_the_one_asked_for(dtype):
    frames = random_frames(2, 2, 1)
    frames["army"] = 2048
    made = planes(frames, 0, dtype)
    assert made.dtype == dtype
    army = made[:, PLANES.index("army_self")]
    assert set(np.unique(army)) <= {0, 2048}


def test_half_precision_ends_at_its_largest_number():
    frames = random_frames(2, 2, 1)
    frames["army"], frames["total_army"] = 65_535, 1 << 30
    assert planes(frames, 0, np.float16).max() == 65_504


def test_the_channels_are_these_in_this_order():
    assert (
        *("mountain", "city", "general", "swamp", "desert", "obstacle"),
        *("self", "teammate", "enemy", "neutral", "fog"),
        *("army_self", "army_teammate", "army_enemy", "army_neutral"),
        *("total_army_self", "total_army_teammate", "total_army_enemy"),
        *("total_land_self", "total_land_teammate", "total_land_enemy"),
    ) == PLANES
    assert (
        *("remembered_mountain", "remembered_city", "remembered_general", "remembered_desert"),
        *("remembered_self", "remembered_teammate", "remembered_enemy", "remembered_neutral"),
        *("remembered_army_self", "remembered_army_teammate", "remembered_army_enemy"),
        "remembered_army_neutral",
    ) == MEMORY_PLANES


def test_no_frames_make_no_planes():
    assert planes(random_frames(0, 2, 0), 0).shape == (0, len(PLANES), HEIGHT, WIDTH)
