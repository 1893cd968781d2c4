"""Simulated annealing of a round trip. Pure: the same arguments and numpy give the same route.

A route is a list of city numbers, counted from 1 as in TSPLIB files, and always begins with city 1.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from tsplib import City, distance

__all__ = ["anneal_route", "random_route"]

Distances = list[list[int]]
"""Indexed by the cities' positions, counted from 0."""
Draw = tuple[float, bool, int, int, int]

DRAWS_AT_ONCE = 4096
"""Random numbers are drawn in blocks: a numpy call per move would cost more than the move."""
LONGEST_SEGMENT = 3
"""Or-opt moves at most this many cities: longer segments are better served by 2-opt."""


def random_route(n: int, seed: Sequence[int]) -> list[int]:
    """Return a random route through `n` cities."""
    others = np.random.default_rng(seed).permutation(np.arange(2, n + 1))
    return [1, *others.tolist()]


def anneal_route(
    cities: Sequence[City], route: Sequence[int], temperatures: tuple[float, float], steps: int, seed: Sequence[int]
) -> list[int]:
    """Return the shortest route found in `steps` random moves from `route` while it cools.

    `temperatures` are those of the first and the last step, in units of length, geometric between them. A move that
    makes the route longer by d is accepted with probability exp(-d / temperature), a shorter one always (Metropolis).
    """
    away = [[distance(a, b) for b in cities] for a in cities]
    current = [number - 1 for number in route]
    length = sum(away[current[i - 1]][current[i]] for i in range(len(current)))
    best, best_length = current.copy(), length
    for may_add, reverses, i, j, size in _draws(len(cities), temperatures, steps, seed):
        if reverses:
            length += _reverse(away, current, min(i, j), max(i, j), may_add=may_add)
        else:
            length += _move_segment(away, current, i, j, size, may_add=may_add)
        if length < best_length:
            best, best_length = current.copy(), length
    return [index + 1 for index in best]


def _draws(n: int, temperatures: tuple[float, float], steps: int, seed: Sequence[int]) -> Iterator[Draw]:
    """Yield for each step: the length it may add, whether it is a 2-opt move, two positions, a segment's size.

    "Accept when u < exp(-d / t), u uniform" is "accept when d < t * e, e exponential": one comparison, no exp per move.
    """
    rng = np.random.default_rng(seed)
    hot, cold = temperatures
    for first in range(0, steps, DRAWS_AT_ONCE):
        count = min(DRAWS_AT_ONCE, steps - first)
        temperature = hot * (cold / hot) ** ((first + np.arange(count)) / steps)
        yield from zip(
            (temperature * rng.exponential(size=count)).tolist(),
            (rng.random(count) < 0.5).tolist(),
            rng.integers(1, n, count).tolist(),
            rng.integers(1, n, count).tolist(),
            rng.integers(1, LONGEST_SEGMENT + 1, count).tolist(),
            strict=True,
        )


def _reverse(away: Distances, route: list[int], i: int, j: int, *, may_add: float) -> int:
    """2-opt: run through positions `i` to `j` the other way round. Return the length added; 0 when it was refused."""
    before, first = route[i - 1], route[i]
    last, after = route[j], route[(j + 1) % len(route)]
    added = away[before][last] + away[first][after] - away[before][first] - away[last][after]
    if added > may_add:
        return 0
    route[i : j + 1] = route[i : j + 1][::-1]
    return added


def _move_segment(away: Distances, route: list[int], i: int, j: int, size: int, *, may_add: float) -> int:
    """Or-opt: move the `size` cities from position `i` to before position `j`, the better way round.

    Return the length added; 0 if it was refused, or if `j` is within or just after the segment.
    """
    end = i + size
    if end > len(route) or i <= j <= end:
        return 0
    before, first, last, after = route[i - 1], route[i], route[end - 1], route[end % len(route)]
    left, right = route[j - 1], route[j]
    closed = away[before][after] - away[before][first] - away[last][after] - away[left][right]
    forward = closed + away[left][first] + away[last][right]
    backward = closed + away[left][last] + away[first][right]
    added = min(forward, backward)
    if added > may_add:
        return 0
    segment = route[i:end] if forward <= backward else route[i:end][::-1]
    if j < i:
        route[j:end] = segment + route[j:i]
    else:
        route[i:j] = route[end:j] + segment
    return added
