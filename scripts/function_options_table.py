"""Write the tables of options in docs/functions.md from `multinode_protocol.function_options`.

    python scripts/function_options_table.py

Each table is between ``<!-- options of a function -->`` (or ``of Retry``) and ``<!-- end -->``.
"""

import dataclasses
import re
import sys
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

from multinode_protocol.function_options import (
    PARTS,
    ExceptionNames,
    ExecutionSpec,
    Memory,
    Number,
    Option,
    ResourceSpec,
    RetryOptions,
    RetryPolicy,
    Seconds,
    WholeNumber,
    WholeSeconds,
    options_of,
)

__all__ = ["PAGE", "render"]

PAGE = Path(__file__).parents[1] / "docs" / "functions.md"
TABLE = re.compile(r"(<!-- options of (a function|Retry) -->\n).*?(<!-- end -->)", re.DOTALL)


def render(page: str) -> str:
    """Return `page` with every table replaced by the current one."""
    return TABLE.sub(lambda found: f"{found[1]}{_table(found[2])}{found[3]}", page)


def _table(kind: str) -> str:
    if kind == "Retry":
        rows = list(_rows("", RetryPolicy))
    else:
        rows = [row for name, part in PARTS.items() for row in _rows(f"{name}.", part)]
    return "".join(
        _line(row) for row in (("option", "what it is", "values", "default", "REST field"), ["---"] * 5, *rows)
    )


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _rows(prefix: str, part: type[ResourceSpec | ExecutionSpec | RetryPolicy]) -> Iterator[tuple[str, ...]]:
    for field in dataclasses.fields(part):
        option = options_of(part)[field.name]
        name = "REST API only" if option.python_name is None else f"`{option.python_name}`"
        default = "" if option.python_name is None else _default(option.default)
        wire = f"`{prefix}{option.wire_name}`"
        if field.default is dataclasses.MISSING:
            wire += ", required"
        elif isinstance(field.default, int | float):
            wire += f", else {field.default:g}"
        yield name, option.description, _values(option), default, wire


def _values(option: Option) -> str:
    match option.kind:
        case WholeNumber(least, most):
            return f"{least:,} to {most:,}"
        case Number(least, most, above):
            return f"above {least:g}, up to {most:g}" if above else f"{least:g} to {most:g}"
        case WholeSeconds(least, most):
            return f"{least:,} to {most:,} s, whole"
        case Seconds(most):
            return f"0 to {most:,.0f} s"
        case Memory(most):
            return f"above 0, up to {most:g} GiB"
        case ExceptionNames(most):
            return f"up to {most} classes or names"
        case RetryOptions():
            return "see [Retry](#retry)"


def _default(value: object) -> str:
    if isinstance(value, timedelta):
        return f"{value.total_seconds():,.0f} s"
    return "none" if value is None else f"`{value}`" if isinstance(value, str) else f"{value:g}"


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit()
