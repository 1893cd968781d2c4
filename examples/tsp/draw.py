"""Draw a route through berlin52 as SVG, and say how far it is from the optimum. Standard library only.

    multinode invoke tsp solve --wait | python draw.py - berlin52.svg

Reads the JSON result of `solve` from a file, or from standard input if the file is "-". With --within PERCENT, the exit
code is 1 if the route is longer than that.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tsplib import BERLIN52, BERLIN52_OPTIMUM, City, read_cities, tour_length

__all__ = ["main", "svg"]

MARGIN = 60
CAPTION = 80
"""Height of the line of text above the map, in the cities' units like all sizes here."""

TEMPLATE = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" font-family="sans-serif">
  <title>{title}</title>
  <rect width="100%" height="100%" fill="#fcfcfa"/>
  <text x="{margin}" y="{caption}" font-size="44" fill="#222">{title}</text>
  <polygon points="{points}" fill="#dbe7f3" stroke="#1f5fa8" stroke-width="6" stroke-linejoin="round"/>
  <g fill="#1b1b1b">
{dots}
  </g>
</svg>
"""


def svg(cities: Sequence[City], route: Sequence[int], title: str) -> str:
    """Return a drawing of the round trip; y grows upwards, as on a map."""
    left, right = min(x for x, _ in cities), max(x for x, _ in cities)
    bottom, top = min(y for _, y in cities), max(y for _, y in cities)
    places = [(x - left + MARGIN, top - y + MARGIN + CAPTION) for x, y in cities]
    dots = "\n".join(
        f'    <circle cx="{x:.0f}" cy="{y:.0f}" r="10"><title>{number}</title></circle>'
        for number, (x, y) in enumerate(places, start=1)
    )
    return TEMPLATE.format(
        width=right - left + 2 * MARGIN,
        height=top - bottom + 2 * MARGIN + CAPTION,
        margin=MARGIN,
        caption=CAPTION,
        title=title,
        points=" ".join("{:.0f},{:.0f}".format(*places[number - 1]) for number in route),
        dots=dots,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code: 0, or 1 if the route is not within the limit, 2 if there is no route to draw."""
    parser = argparse.ArgumentParser(description="Draw a route through berlin52 as SVG.")
    parser.add_argument("result", help='file with the JSON result of `solve`; "-" is standard input')
    parser.add_argument("drawing", type=Path, help="the SVG file to write")
    parser.add_argument("--within", type=float, metavar="PERCENT", help="fail if the route is longer than this")
    options = parser.parse_args(arguments)
    cities = read_cities(BERLIN52)
    try:
        text = sys.stdin.read() if options.result == "-" else Path(options.result).read_text(encoding="utf-8")
        route = json.loads(text)["route"]
        length = tour_length(cities, route)  # measured again, instead of trusting the result
    except (OSError, ValueError, TypeError, KeyError) as error:
        print(f"draw.py: {options.result} is not a result of `solve`: {error!r}", file=sys.stderr)
        return 2
    over = 100 * (length / BERLIN52_OPTIMUM - 1)
    summary = f"berlin52: length {length}, {over:.2f}% over the optimum {BERLIN52_OPTIMUM}"
    options.drawing.write_text(svg(cities, route, summary), encoding="utf-8")
    print(f"{summary}; drawn in {options.drawing}")
    if options.within is not None and over > options.within:
        print(f"draw.py: the route is not within {options.within:g}% of the optimum", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
