"""Reads cities from TSPLIB files, and measures round trips through them. Standard library only."""

import math
from collections.abc import Sequence
from pathlib import Path

__all__ = ["BERLIN52", "BERLIN52_OPTIMUM", "City", "distance", "read_cities", "tour_length"]

City = tuple[float, float]
"""x and y."""

BERLIN52 = Path(__file__).with_name("data") / "berlin52.tsp"
BERLIN52_OPTIMUM = 7542
"""The proven length of the shortest round trip, from TSPLIB's list of optimal solutions."""


def read_cities(path: Path) -> list[City]:
    """Return the cities of a TSPLIB file of type EUC_2D, in the file's order: its city 1 is the first.

    Raises ValueError if the file is of another type, or contains a different number of cities than it says.
    """
    header, _, rest = path.read_text(encoding="utf-8").partition("NODE_COORD_SECTION")
    fields = dict(line.replace(" ", "").split(":", 1) for line in header.splitlines() if ":" in line)
    if fields.get("EDGE_WEIGHT_TYPE") != "EUC_2D":
        raise ValueError(f"{path}: expected distances of type EUC_2D, found {fields.get('EDGE_WEIGHT_TYPE')}")
    rows = [line.split() for line in rest.partition("EOF")[0].splitlines() if line.strip()]
    if len(rows) != int(fields["DIMENSION"]):
        raise ValueError(f"{path}: expected {fields['DIMENSION']} cities, found {len(rows)}")
    return [(float(x), float(y)) for _, x, y in rows]


def distance(a: City, b: City) -> int:
    """Return the distance between two cities, rounded to the nearest integer as TSPLIB's EUC_2D requires."""
    return int(math.dist(a, b) + 0.5)


def tour_length(cities: Sequence[City], route: Sequence[int]) -> int:
    """Return the length of the round trip through all `cities`; `route` holds their numbers, counted from 1.

    Raises ValueError if the route does not visit each city exactly once.
    """
    if sorted(route) != list(range(1, len(cities) + 1)):
        raise ValueError(f"a route visits each of the {len(cities)} cities exactly once, this one does not: {route}")
    stops = [cities[number - 1] for number in route]
    return sum(distance(stops[i - 1], stops[i]) for i in range(len(stops)))
