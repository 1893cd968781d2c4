"""The names of tests are sentences that fit a line of a report."""

import ast
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_the_name_of_a_test_has_fewer_than_80_characters() -> None:
    names = [
        node.name
        for path in TESTS.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]
    assert len(names) > 1000
    assert [name for name in names if len(name) >= 80] == []
