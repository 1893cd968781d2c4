"""The travelling salesman by distributed simulated annealing: one cooling, in rounds of parallel subtasks."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import TypedDict

from annealing import anneal_route, random_route
from tsplib import BERLIN52, read_cities, tour_length

from multinode import Multinode

mn = Multinode()

HOT, COLD = 400.0, 4.0
"""Temperatures in units of length: at the first, the route changes completely; at the last, it hardly changes."""


class Found(TypedDict):
    """A route through berlin52: the numbers of its cities, from 1 as in the file, and its length."""

    round: int
    rounds: int
    length: int
    route: list[int]


@mn.function(cpu=1.0, memory="512 MiB", timeout=timedelta(minutes=5), max_retries=2)
def anneal(route: list[int], hot: float, cold: float, steps: int, seed: list[int]) -> list[int]:
    """Return the best route found from `route` while cooling from `hot` to `cold`."""
    cities = read_cities(BERLIN52)
    better = anneal_route(cities, route, (hot, cold), steps, seed)
    print(f"{hot:.1f} -> {cold:.1f}: {tour_length(cities, route)} -> {tour_length(cities, better)}")
    return better


@mn.function(cpu=0.25, memory="512 MiB", timeout=timedelta(minutes=30))
def solve(rounds: int = 6, workers: int = 4, steps: int = 100_000, seed: int = 1) -> Iterator[Found]:
    """Yield the best route so far after each round; the last one is the result.

    A round starts `workers` subtasks in parallel, which continue from the best route of the previous round.
    """
    if rounds < 1 or workers < 1:
        raise ValueError(f"rounds and workers must be at least 1, got {rounds} and {workers}")
    cities = read_cities(BERLIN52)
    starts = [random_route(len(cities), [seed, worker]) for worker in range(workers)]
    best = min(starts, key=lambda route: tour_length(cities, route))
    edges = [HOT * (COLD / HOT) ** (n / rounds) for n in range(rounds + 1)]
    for n, (hot, cold) in enumerate(pairwise(edges), start=1):
        tasks = [(route, hot, cold, steps, [seed, n, worker]) for worker, route in enumerate(starts)]
        best = min([best, *anneal.starmap(tasks)], key=lambda route: tour_length(cities, route))
        starts = [best] * workers
        print(f"round {n} of {rounds}: {tour_length(cities, best)}")
        yield {"round": n, "rounds": rounds, "length": tour_length(cities, best), "route": best}
