"""Plain geometry of boards, for tests of maps."""

from collections import deque


def neighbours(cell, height, width):
    row, column = divmod(cell, width)
    steps = ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
    return [r * width + c for r, c in steps if 0 <= r < height and 0 <= c < width]


def steps_from(start, passable, height, width):
    """How many steps it takes from a cell to every one that can be reached, itself included."""
    steps, left = {start: 0}, deque([start])
    while left:
        here = left.popleft()
        for cell in neighbours(here, height, width):
            if cell not in steps and passable[cell]:
                steps[cell] = steps[here] + 1
                left.append(cell)
    return steps


def reachable(start, passable, height, width):
    return set(steps_from(start, passable, height, width))


def distance(one, other, width):
    """Manhattan distance."""
    return abs(one // width - other // width) + abs(one % width - other % width)


def enemy_distances(generals, sides, width):
    return pair_distances(generals, width, lambda i, j: sides[i] != sides[j])


def friend_distances(generals, sides, width):
    return pair_distances(generals, width, lambda i, j: sides[i] == sides[j])


def pair_distances(generals, width, chosen):
    return [
        distance(one, other, width)
        for i, one in enumerate(generals)
        for j, other in enumerate(generals[:i])
        if chosen(i, j)
    ]
