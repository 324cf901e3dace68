"""Gathering: which armies to bring together at a cell, by which moves (farm.jit).

Own land around the cell, searched breadth first, is a tree of shortest paths with the cell as its
root. One move along each of its edges, from the leaves inwards, brings all armies to the root; a
part of the tree that holds the root costs a move an edge. The part that gathers the most for the
price of its moves is found exactly: from the leaves inwards, a branch is kept if it brings more
than it costs. The price of a move is raised until the moves are few enough.
"""

from typing import Final

from farm.engine.bits import bit_of, int64
from farm.jit import inline
from farm.policies.notes import MAX_ORDERS, N_ORDERS, NEXT_ORDER, ORDERS
from farm.policies.sight import FIRST_FREE, Sight, has, step
from farm.spec.actions import N_DIRECTIONS

# Rows of `lists`, by place in the order of the search.
_CELL: Final = 0
_PARENT: Final = 1
"""Four times the place of the cell that it was reached from, and the direction to it."""
_VALUE: Final = 2
"""What the branch brings beyond its price, in quarters of an army."""
_KEPT: Final = 3

_VISITED: Final = FIRST_FREE
"""Row of `maps`."""

_RAISES: Final = 12
"""Prices tried; each is half above the one before, the last more than a hundredfold the first."""


@inline
def plan_gathering(sight: Sight, root: int, most_moves: int, price: int) -> int:
    """Write the orders that gather at a cell.

    Args:
        sight: own cells and their armies are read.
        root: own cell to gather at.
        most_moves: moves at most; there is no room for more than MAX_ORDERS.
        price: quarters of an army that a move has to bring at least.

    Returns:
        Army at the root afterwards, as far as it is there today.

    Writes:
        sight.notes: the orders; sight.lists, sight.maps.
    """
    most_moves = min(most_moves, MAX_ORDERS)
    n_reached = _search(sight, root)
    sight.notes[N_ORDERS] = 0
    sight.notes[NEXT_ORDER] = 0
    for _ in range(_RAISES):
        _value(sight, n_reached, price)
        if _keep(sight, n_reached) <= most_moves:
            return _write_orders(sight, n_reached)
        price += (price >> 1) + 1
    return int64(sight.army[root])


@inline
def _search(sight: Sight, root: int) -> int:
    """List the own land around the root in order of distance; how many cells there are."""
    visited = sight.maps[_VISITED]
    cells = sight.lists[_CELL]
    for word in range(sight.n_words):
        visited[word] = ~sight.mine[word]
    visited[root >> 6] |= bit_of(root)
    cells[0] = root
    n_reached = 1
    place = 0
    while place < n_reached:
        cell = int64(cells[place])
        for direction in range(N_DIRECTIONS):
            near = step(sight, cell, direction)
            if near >= 0 and not has(visited, near):
                visited[near >> 6] |= bit_of(near)
                cells[n_reached] = near
                # Directions come in opposite pairs: 0 and 1, 2 and 3.
                sight.lists[_PARENT, n_reached] = 4 * place + (direction ^ 1)
                n_reached += 1
        place += 1
    return n_reached


@inline
def _value(sight: Sight, n_reached: int, price: int) -> None:
    """Value every branch, leaves first; one that is worth nothing counts nothing further in."""
    value = sight.lists[_VALUE]
    for place in range(n_reached):
        value[place] = 4 * (int64(sight.army[sight.lists[_CELL, place]]) - 1) - price
    for place in range(n_reached - 1, 0, -1):
        if value[place] > 0:
            value[sight.lists[_PARENT, place] >> 2] += value[place]


@inline
def _keep(sight: Sight, n_reached: int) -> int:
    """Mark what is worth gathering and hangs together with the root; the moves that it takes."""
    kept = sight.lists[_KEPT]
    kept[0] = 1
    n_moves = 0
    for place in range(1, n_reached):
        kept[place] = kept[sight.lists[_PARENT, place] >> 2] and sight.lists[_VALUE, place] > 0
        n_moves += kept[place]
    return n_moves


@inline
def _write_orders(sight: Sight, n_reached: int) -> int:
    army = int64(sight.army[sight.lists[_CELL, 0]])
    n_orders = 0
    for place in range(n_reached - 1, 0, -1):
        if sight.lists[_KEPT, place]:
            cell = int64(sight.lists[_CELL, place])
            army += int64(sight.army[cell]) - 1
            sight.notes[ORDERS + n_orders] = 4 * cell + (sight.lists[_PARENT, place] & 3)
            n_orders += 1
    sight.notes[N_ORDERS] = n_orders
    return army
