"""Pursuing: how the `hunter` finds an enemy's general and brings an army there (farm.jit).

An army goes to the nearest general that is known; else to a cell never seen, near the middle of
known enemy land; else to enemy land. A gathering is planned at the own cell nearest to that, and
what was gathered takes a shortest path, collecting what it can on the way.

Before that, as long as no enemy has been met, an army is gathered for a free city beside own land.
Later it would be missed elsewhere: the win rate against `expander` fell by 5 % (`win_rates`).
"""

from typing import Final

from farm.engine.bits import ONE, ZERO, bit_of, int64, lowest
from farm.jit import inline
from farm.policies.gather import plan_gathering
from farm.policies.notes import (
    AGE,
    AIM,
    CROWNS,
    EXPLORED,
    FOE,
    HEAD,
    HOPELESS,
    MUSTER_AT,
    WALLS,
)
from farm.policies.sight import (
    FIRST_FREE,
    FOES,
    FRIENDS,
    TOWNS,
    WASTE,
    Sight,
    beside,
    distance,
    has,
    move,
    spread,
    step,
)
from farm.spec.actions import N_DIRECTIONS

# Rows of `maps`.
_REACHED: Final = FIRST_FREE
_GROUND: Final = FIRST_FREE + 1
_ROOM: Final = FIRST_FREE + 2

_MOVES: Final = 45
"""Moves of a gathering at most, for a land of up to three times as many cells; a larger land gives
a third of its cells."""
_RICH: Final = 4
"""A free city is taken if the army that its land does not need is so many times the city's."""
_CITY_MOVES: Final = (8, 16, 32)
"""Moves of a gathering before a free city, the first that are enough."""
_PRICE: Final = 2
"""Quarters of an army that a move of it has to bring."""
_LEAST_ARMY: Final = 12
"""A smaller army does not set out."""
_RETRY_TICKS: Final = 4
"""Ticks until the next plan when there was no such army."""
_PUSH: Final = 4
"""Cells beyond the middle of known enemy land, away from home, where a general is looked for."""
_FAR: Final = 1 << 30

# What `muster` gathers for.
NOTHING: Final = 0
CITY: Final = 1
PURSUIT: Final = 2


@inline
def muster(sight: Sight) -> int:
    """Plan a gathering at the own cell nearest to where an army should go.

    Returns:
        What the army is for: NOTHING, CITY or PURSUIT.

    Writes:
        sight.notes: the orders and the head.
    """
    notes = sight.notes
    if notes[AGE] < notes[MUSTER_AT]:
        return NOTHING
    notes[MUSTER_AT] = notes[AGE] + _RETRY_TICKS
    if not _draw_map(sight, FOE) and _muster_before_city(sight):
        return CITY
    return PURSUIT if _muster_for_pursuit(sight) else NOTHING


@inline
def _muster_before_city(sight: Sight) -> bool:
    """Plan a gathering beside the weakest free city in sight; whether that is enough to take it."""
    least = (sight.total_army - sight.land) // _RICH + 1
    city = -1
    for word in range(sight.n_words):
        taken = sight.maps[FRIENDS, word] | sight.maps[FOES, word]
        cities = sight.maps[TOWNS, word] & ~taken
        if cities:
            cities &= beside(sight, sight.mine, word)
        while cities:
            cell = (word << 6) + lowest(cities)
            cities &= cities - ONE
            if int64(sight.army[cell]) < least:
                least = int64(sight.army[cell])
                city = cell
    if city < 0:
        return False
    for word in range(sight.n_words):
        sight.maps[_REACHED, word] = ZERO
    sight.maps[_REACHED, city >> 6] |= bit_of(city)
    root = _outpost(sight)
    army = 0
    for moves in _CITY_MOVES:
        if army <= least + 1:
            army = plan_gathering(sight, root, moves, _PRICE)
    return army > least + 1


@inline
def _muster_for_pursuit(sight: Sight) -> bool:
    """Plan a gathering on the way to the goals; whether an army comes of it."""
    notes = sight.notes
    if not _draw_goals(sight, sight.home):
        return False
    _draw_ground(sight)
    root = _outpost(sight)
    while root < 0:
        if not spread(sight, _REACHED, _GROUND, _ROOM):
            _give_up_aim(sight)
            return False
        root = _outpost(sight)
    notes[HEAD] = root
    moves = max(_MOVES, sight.land // 3)
    return plan_gathering(sight, root, moves, _PRICE) >= _LEAST_ARMY


@inline
def advance(sight: Sight) -> int:
    """A step of the head on its way, or -1 when it can't go on.

    Writes:
        sight.notes: the head.
    """
    head = int64(sight.notes[HEAD])
    if not has(sight.movable, head) or not _draw_goals(sight, head):
        return -1
    _draw_ground(sight)
    while not has(sight.maps[_REACHED], head):
        direction = _way_into(sight, head)
        if direction >= 0:
            sight.notes[HEAD] = step(sight, head, direction)
            return move(head, direction)
        if not spread(sight, _REACHED, _GROUND, _ROOM):
            _give_up_aim(sight)
            return -1
    return -1


@inline
def _way_into(sight: Sight, head: int) -> int:
    """The step of the head into the reached cells that costs the least, or -1.

    Among own cells the larger army is collected, among others the smaller one fought; one that is
    too large is no way.
    """
    army = int64(sight.army[head])
    best = -_FAR
    way = -1
    for direction in range(N_DIRECTIONS):
        to = step(sight, head, direction)
        if to >= 0 and has(sight.maps[_REACHED], to):
            there = int64(sight.army[to])
            gain = there if has(sight.maps[FRIENDS], to) else -there
            if gain > best and gain > 1 - army:
                best = gain
                way = direction
    return way


@inline
def _outpost(sight: Sight) -> int:
    """The own cell with the largest army next to the reached cells, or -1."""
    best = -1
    found = -1
    for word in range(sight.n_words):
        near = sight.mine[word]
        if near:
            near &= beside(sight, sight.maps[_REACHED], word)
        while near:
            cell = (word << 6) + lowest(near)
            near &= near - ONE
            if int64(sight.army[cell]) > best:
                best = int64(sight.army[cell])
                found = cell
    return found


@inline
def _draw_ground(sight: Sight) -> None:
    """Draw where an army can walk: no mountain, and no city that nobody owns."""
    for word in range(sight.n_words):
        owned = sight.maps[FRIENDS, word] | sight.note_maps[FOE, word]
        sight.maps[_GROUND, word] = ~sight.note_maps[WALLS, word] | owned


@inline
def _draw_goals(sight: Sight, start: int) -> bool:
    """Draw where an army should go from a cell; whether there is such a place.

    Writes:
        sight.maps; sight.notes: the aim.
    """
    if _draw_map(sight, CROWNS):
        return True
    aim = int64(sight.notes[AIM]) - 1
    if aim < 0 or has(sight.note_maps[EXPLORED], aim) or has(sight.note_maps[HOPELESS], aim):
        aim = _choose_aim(sight, start)
        sight.notes[AIM] = aim + 1
    if aim < 0:
        return _draw_map(sight, FOE)
    sight.maps[_REACHED, aim >> 6] |= bit_of(aim)
    return True


@inline
def _draw_map(sight: Sight, row: int) -> bool:
    """Copy a map of the notes; whether there is a cell in it."""
    some = ZERO
    for word in range(sight.n_words):
        cells = sight.note_maps[row, word]
        sight.maps[_REACHED, word] = cells
        some |= cells
    return bool(some)


@inline
def _choose_aim(sight: Sight, start: int) -> int:
    """The cell never seen that is near both the start and where a general may be; -1 for none."""
    centre = _suspected(sight)
    best = _FAR
    aim = -1
    for word in range(sight.n_words):
        known = sight.note_maps[EXPLORED, word] | sight.note_maps[HOPELESS, word]
        hidden = ~(known | sight.note_maps[WALLS, word] | sight.maps[WASTE, word])
        while hidden:
            cell = (word << 6) + lowest(hidden)
            hidden &= hidden - ONE
            cost = distance(sight, cell, centre) + 2 * distance(sight, cell, start)
            if cost < best:
                best = cost
                aim = cell
    return aim


@inline
def _suspected(sight: Sight) -> int:
    """Where a general may be: a little beyond the middle of known enemy land, as seen from home.

    Without any, it is opposite of home.
    """
    n_foes, rows, columns = 0, 0, 0
    for word in range(sight.n_words):
        foes = sight.note_maps[FOE, word]
        while foes:
            cell = (word << 6) + lowest(foes)
            foes &= foes - ONE
            row = cell // sight.width
            rows += row
            columns += cell - row * sight.width
            n_foes += 1
    home_row = sight.home // sight.width
    home_column = sight.home - home_row * sight.width
    if n_foes == 0:
        return sight.n_cells - 1 - sight.home
    down = rows // n_foes - home_row
    right = columns // n_foes - home_column
    far = max(1, abs(down) + abs(right))
    row = home_row + down + _PUSH * down // far
    column = home_column + right + _PUSH * right // far
    row = min(max(row, 0), sight.height - 1)
    return row * sight.width + min(max(column, 0), sight.width - 1)


@inline
def _give_up_aim(sight: Sight) -> None:
    """Note that there is no way to the aim, if it was one."""
    aim = int64(sight.notes[AIM]) - 1
    if aim >= 0:
        sight.note_maps[HOPELESS, aim >> 6] |= bit_of(aim)
