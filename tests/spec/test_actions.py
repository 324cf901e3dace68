"""Action numbers, and the mask of legal actions against the rule written out cell by cell."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm import spec
from farm.spec import tiles

STEPS = ((-1, 0), (1, 0), (0, -1), (0, 1))
OWNERS = [tiles.NEUTRAL, tiles.SELF, tiles.SELF + 1, tiles.SELF + 2, tiles.FOG]


def is_legal(tile, army, row, column, direction, n_allies):
    height, width = tile.shape
    to_row, to_column = row + STEPS[direction][0], column + STEPS[direction][1]
    if not (0 <= to_row < height and 0 <= to_column < width):
        return False
    if tile[row, column] & tiles.OWNER_MASK != tiles.SELF:
        return False
    target = int(tile[to_row, to_column])
    if target >> tiles.OWNER_BITS == tiles.MOUNTAIN:
        return False
    allied = tiles.SELF < target & tiles.OWNER_MASK <= tiles.SELF + n_allies
    return bool(army[row, column] > 1 or (army[row, column] == 1 and allied))


@given(
    seed=st.integers(0, 2**32),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    n_allies=st.integers(0, 2),
)
def test_the_mask_is_the_rule_cell_by_cell(seed, height, width, n_allies):
    rng = np.random.default_rng(seed)
    terrain = rng.integers(0, len(tiles.TERRAIN_NAMES), (height, width))
    tile = (terrain << tiles.OWNER_BITS | rng.choice(OWNERS, (height, width))).astype(np.uint8)
    army = rng.integers(0, 4, (height, width)).astype(np.uint16)

    mask = spec.legal_mask(tile, army, n_allies)

    assert mask.shape == (spec.n_actions(height * width),)
    assert mask[spec.pass_action(height * width)]
    for action in range(spec.pass_action(height * width)):
        cell, direction, _half = spec.decode_action(action)
        row, column = divmod(cell, width)
        assert mask[action] == is_legal(tile, army, row, column, direction, n_allies)


def test_a_stack_of_boards_is_masked_board_by_board():
    rng = np.random.default_rng(3)
    tile = rng.choice(OWNERS, (4, 3, 5, 6)).astype(np.uint8)
    army = rng.integers(0, 4, (4, 3, 5, 6)).astype(np.uint16)
    masks = spec.legal_mask(tile, army, 1)
    for index in np.ndindex(4, 3):
        assert (masks[index] == spec.legal_mask(tile[index], army[index], 1)).all()


@pytest.mark.parametrize("n_cells", [16, 400, spec.MAX_CELLS])
def test_every_action_number_is_a_move_or_the_pass_and_fits_in_16_bits(n_cells):
    numbers = [
        spec.encode_action(cell, direction, half)
        for cell in range(n_cells)
        for direction in range(4)
        for half in range(2)
    ]
    assert numbers == list(range(spec.pass_action(n_cells)))
    assert [spec.decode_action(number) for number in numbers[:9]] == [
        (0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1), (0, 2, 0), (0, 2, 1), (0, 3, 0), (0, 3, 1),
        (1, 0, 0),
    ]  # fmt: skip
    assert spec.n_actions(n_cells) <= 2**16
