"""Annealing of a round trip: moves keep books exactly, the search is seeded, and it finds good routes."""

import math

import pytest
from annealing import _move_segment, _reverse, anneal_route, random_route
from hypothesis import given
from hypothesis import strategies as st
from tsplib import BERLIN52, BERLIN52_OPTIMUM, City, distance, read_cities, tour_length

SQUARE: list[City] = [(0, 0), (0, 10), (10, 10), (10, 0)]
CROSSED = [1, 3, 2, 4]
"""Two diagonals of 14 (14.14) and two sides of 10: 48. Round the square it would be 40."""


@pytest.fixture(scope="module")
def berlin() -> list[City]:
    cities: list[City] = read_cities(BERLIN52)
    return cities


def test_a_crossing_is_removed() -> None:
    assert tour_length(SQUARE, CROSSED) == 48
    assert tour_length(SQUARE, anneal_route(SQUARE, CROSSED, (0.1, 0.1), 200, [0])) == 40


def test_a_cold_search_keeps_the_optimal_route(berlin: list[City], optimal_route: list[int]) -> None:
    # at temperature 0.001 even a move that adds 1 has the probability exp(-1000)
    assert anneal_route(berlin, optimal_route, (0.001, 0.001), 5_000, [1]) == optimal_route


def test_a_hot_search_returns_the_best_route_it_met_not_the_last(berlin: list[City], optimal_route: list[int]) -> None:
    # at temperature 10,000 nearly every move is taken, so the route it ends with is a random one, of 20,000 and more
    assert anneal_route(berlin, optimal_route, (10_000, 10_000), 5_000, [1]) == optimal_route


def test_no_steps_change_nothing(berlin: list[City]) -> None:
    route = random_route(len(berlin), [7])
    assert anneal_route(berlin, route, (100, 1), 0, [1]) == route


@pytest.mark.parametrize("seed", range(5))
def test_cooling_once_from_a_random_route_comes_within_five_percent_of_the_optimum(
    berlin: list[City], seed: int
) -> None:
    start = random_route(len(berlin), [seed])
    found = anneal_route(berlin, start, (400.0, 4.0), 150_000, [seed])
    assert found[0] == 1
    assert tour_length(berlin, start) > 2 * BERLIN52_OPTIMUM
    assert BERLIN52_OPTIMUM <= tour_length(berlin, found) <= 1.05 * BERLIN52_OPTIMUM


def test_the_same_seed_gives_the_same_route_and_another_seed_another(berlin: list[City]) -> None:
    start = random_route(len(berlin), [3])
    first, again, other = (anneal_route(berlin, start, (400.0, 100.0), 5_000, seed) for seed in ([1], [1], [2]))
    assert first == again
    assert first != other


def test_random_routes_visit_every_city_once_and_differ_by_seed() -> None:
    routes = [random_route(10, [seed]) for seed in range(3)]
    assert [sorted(route) for route in routes] == [list(range(1, 11))] * 3
    assert [route[0] for route in routes] == [1, 1, 1]
    assert len({tuple(route) for route in routes}) == 3


CITIES: list[City] = [(0, 0), (7, 1), (3, 9), (12, 5), (8, 8), (1, 4), (15, 2)]
AWAY = [[distance(a, b) for b in CITIES] for a in CITIES]
ROUTES = st.permutations(range(1, len(CITIES))).map(lambda others: [0, *others])
POSITIONS = st.integers(1, len(CITIES) - 1)


def length(route: list[int]) -> int:
    return int(tour_length(CITIES, [index + 1 for index in route]))


@given(route=ROUTES, i=POSITIONS, j=POSITIONS)
def test_a_reversal_adds_exactly_what_it_says(route: list[int], i: int, j: int) -> None:
    before = length(route)
    added = _reverse(AWAY, route, min(i, j), max(i, j), may_add=math.inf)
    assert length(route) - before == added


@given(route=ROUTES, i=POSITIONS, j=POSITIONS, size=st.integers(1, 3))
def test_moving_a_segment_adds_exactly_what_it_says(route: list[int], i: int, j: int, size: int) -> None:
    before = length(route)
    added = _move_segment(AWAY, route, i, j, size, may_add=math.inf)
    assert length(route) - before == added


@given(route=ROUTES, i=POSITIONS, j=POSITIONS, size=st.integers(1, 3))
def test_a_refused_move_changes_nothing(route: list[int], i: int, j: int, size: int) -> None:
    as_it_was = route.copy()
    assert _reverse(AWAY, route, min(i, j), max(i, j), may_add=-math.inf) == 0
    assert _move_segment(AWAY, route, i, j, size, may_add=-math.inf) == 0
    assert route == as_it_was
