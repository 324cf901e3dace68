"""The `hunter` policy: gathers an army, finds the enemy's general and takes it (farm.jit).

What it does in a tick, the first that applies:

- takes an enemy's general next to a strong enough army;
- meets an enemy's army that could reach its own general: strikes it, or gathers at the general;
- goes on with what it is at: gathering (gather.py), then pursuing with what was gathered
  (pursue.py) until that army is spent;
- takes land next to its own (settle.py); once the opening is over, the general's army stays;
- plans the next gathering; failing that, marches to where there is something to take.

It is deterministic: the same observation and the same notes (notes.py) give the same action, with
log-probability 0.
"""

from typing import Final

from farm.engine.bits import ONE, int64, lowest
from farm.engine.state import Game
from farm.jit import inline, kernel
from farm.policies.gather import plan_gathering
from farm.policies.notes import (
    AGE,
    CROWNS,
    MODE,
    N_ORDERS,
    NEXT_ORDER,
    ORDERS,
    ZONE,
    remember,
)
from farm.policies.pursue import CITY, NOTHING, advance, muster
from farm.policies.registry import policy_info
from farm.policies.settle import OPENING, march, settle
from farm.policies.sight import FOES, Sight, distance, has, look, move, step
from farm.spec.actions import ACTIONS_PER_CELL, N_DIRECTIONS

INFO = policy_info("hunter")

# Values of `notes[MODE]`.
_SETTLE: Final = 0
_GATHER: Final = 1
"""For a pursuit."""
_PURSUE: Final = 2
_GATHER_FOR_CITY: Final = 3
"""Settling takes the city."""

_HARMLESS: Final = 2
"""An army that takes nothing but free land."""


@inline
def act(game: Game, seat: int) -> tuple[int, float]:
    """Choose an action of the seat.

    Args:
        game: what the seat observes and its notes are used.
        seat: the acting seat.

    Returns:
        Action index, and the natural logarithm of its probability.

    Writes:
        game: the seat's notes, the scratch bitmaps and lists.
    """
    return decide(look(game, seat)), 0.0


@kernel
def decide(sight: Sight) -> int:
    """Choose an action from what a seat sees.

    A kernel of its own, so that the loops of rollouts stay as small as without it.

    Writes:
        sight.notes, sight.note_maps, sight.maps, sight.lists.
    """
    remember(sight)
    action = _take_general(sight)
    if action < 0:
        action = _defend(sight)
    if action < 0:
        action = _go_on(sight)
    if action < 0:
        action = settle(sight)
    if action < 0 and sight.notes[AGE] > OPENING:
        purpose = muster(sight)
        if purpose != NOTHING:
            sight.notes[MODE] = _GATHER_FOR_CITY if purpose == CITY else _GATHER
            action = _go_on(sight)
    if action < 0:
        action = march(sight)
    return action if action >= 0 else ACTIONS_PER_CELL * sight.n_cells


@inline
def _take_general(sight: Sight) -> int:
    """The move onto an enemy's general by the largest army that can take one, or -1."""
    best = 0
    action = -1
    for word in range(sight.n_words):
        crowns = sight.note_maps[CROWNS, word] & sight.seen[word]
        while crowns:
            strike = _strike(sight, (word << 6) + lowest(crowns))
            crowns &= crowns - ONE
            if strike >= 0 and int64(sight.army[strike // ACTIONS_PER_CELL]) > best:
                best = int64(sight.army[strike // ACTIONS_PER_CELL])
                action = strike
    return action


@inline
def _strike(sight: Sight, to: int) -> int:
    """The move of the largest neighbour of a cell that takes it, or -1."""
    best = int64(sight.army[to]) + 1
    action = -1
    for direction in range(N_DIRECTIONS):
        cell = step(sight, to, direction)
        if cell >= 0 and has(sight.movable, cell) and int64(sight.army[cell]) > best:
            best = int64(sight.army[cell])
            # Directions come in opposite pairs: 0 and 1, 2 and 3.
            action = move(cell, direction ^ 1)
    return action


@inline
def _defend(sight: Sight) -> int:
    """A move against the army that endangers the general the most, or -1 if none does.

    What was going on is left: armies have moved, and a new plan is soon made.
    """
    threat = _threat(sight)
    if threat < 0:
        return -1
    sight.notes[MODE] = _SETTLE
    action = _strike(sight, threat)
    if action < 0:
        plan_gathering(sight, sight.home, distance(sight, threat, sight.home), 0)
        action = _next_order(sight)
    return action


@inline
def _threat(sight: Sight) -> int:
    """The cell near home from which an army could take the general, the worst of them; or -1.

    On its way it leaves 1 on every cell, and the general grows every other tick.
    """
    if sight.home < 0:
        return -1
    worst = 0
    threat = -1
    for word in range(sight.n_words):
        foes = sight.maps[FOES, word] & sight.note_maps[ZONE, word]
        while foes:
            cell = (word << 6) + lowest(foes)
            foes &= foes - ONE
            army = int64(sight.army[cell])
            if army > _HARMLESS:
                far = distance(sight, cell, sight.home)
                danger = army - far - int64(sight.army[sight.home]) - far // 2
                if danger > worst:
                    worst = danger
                    threat = cell
    return threat


@inline
def _go_on(sight: Sight) -> int:
    """The next move of a gathering or a pursuit, or -1 when it is over."""
    notes = sight.notes
    action = -1
    if notes[MODE] in (_GATHER, _GATHER_FOR_CITY):
        action = _next_order(sight)
        if action < 0:
            notes[MODE] = _PURSUE if notes[MODE] == _GATHER else _SETTLE
    if notes[MODE] == _PURSUE:
        action = advance(sight)
        if action < 0:
            notes[MODE] = _SETTLE
    return action


@inline
def _next_order(sight: Sight) -> int:
    """The next order that can still be carried out, or -1."""
    notes = sight.notes
    while notes[NEXT_ORDER] < notes[N_ORDERS]:
        order = int64(notes[ORDERS + notes[NEXT_ORDER]])
        notes[NEXT_ORDER] += 1
        cell = order // N_DIRECTIONS
        direction = order % N_DIRECTIONS
        if has(sight.movable, cell):
            to = step(sight, cell, direction)
            if has(sight.mine, to) or int64(sight.army[to]) < int64(sight.army[cell]) - 1:
                return move(cell, direction)
    return -1
