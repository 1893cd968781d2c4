"""Write the tables of inputs and outputs in terraform/README.md from the modules' declarations.

    python scripts/terraform_readme.py            write the tables
    python scripts/terraform_readme.py --check    change nothing; exit code 1 if a table is out of date

Each table is between ``<!-- inputs of FOLDER -->`` (or ``outputs of``) and ``<!-- end -->``. Declarations must have the
format of `terraform fmt`, where a block's own arguments are indented by two spaces.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

__all__ = ["main", "render"]

FOLDER = Path(__file__).parents[1] / "terraform"
README = FOLDER / "README.md"

BLOCK = re.compile(r'^(variable|output) "(\w+)" \{\n(.*?)^\}', re.MULTILINE | re.DOTALL)
ARGUMENT = re.compile(r"^  (\w+) += (.*?)(?=^  \w|\Z)", re.MULTILINE | re.DOTALL)
TABLE = re.compile(r"(<!-- (inputs|outputs) of (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def render(readme: str, folder: Path) -> str:
    """Return `readme` with every table replaced. Raises ValueError if it has none, or a description is missing."""
    if not TABLE.search(readme):
        raise ValueError("the README has no table to fill in")
    return TABLE.sub(lambda found: f"{found[1]}{_table(found[2], folder / found[3])}{found[4]}", readme)


def _table(kind: str, folder: Path) -> str:
    rows = list(_inputs(folder) if kind == "inputs" else _outputs(folder))
    head = ("name", "type", "default", "what it is") if kind == "inputs" else ("name", "what it is")
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, ["---"] * len(head), *rows))


def _inputs(folder: Path) -> Iterator[tuple[str, ...]]:
    for name, arguments in _declared("variable", folder):
        default = _code(arguments["default"]) if "default" in arguments else "*required*"
        yield f"`{name}`", _code(arguments["type"]), default, _text(name, arguments)


def _outputs(folder: Path) -> Iterator[tuple[str, ...]]:
    for name, arguments in _declared("output", folder):
        yield f"`{name}`", _text(name, arguments)


def _declared(kind: str, folder: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield name and arguments of each block of this kind, in the order of the files."""
    for path in sorted(folder.glob("*.tf")):
        for block in BLOCK.finditer(path.read_text(encoding="utf-8")):
            if block[1] == kind:
                yield block[2], {found[1]: found[2].rstrip() for found in ARGUMENT.finditer(block[3])}


def _text(name: str, arguments: Mapping[str, str]) -> str:
    description = arguments.get("description", "")
    if not re.fullmatch(r'"[^"\\]+"', description):
        raise ValueError(f"{name} needs a description: one plain string")
    return description[1:-1].replace("|", "\\|")


def _code(expression: str) -> str:
    """Return an expression on one line, without comments, its lines joined with commas."""
    lines = [re.sub(r"\s*#.*", "", line).strip() for line in expression.splitlines()]
    one_line = ", ".join(line for line in lines if line)
    one_line = re.sub(r"([({\[]),", r"\1", one_line)
    one_line = re.sub(r",? ([)}\]])", r" \1", one_line)
    return f"`{re.sub(r' {2,}', ' ', one_line)}`"


def main(arguments: Sequence[str]) -> int:
    """Return the exit code: 0 if the tables are current, 1 if they were not (`--check`) or are invalid, 2 for usage."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write(f"{__doc__}\n")
        return 2
    readme = README.read_text(encoding="utf-8")
    try:
        current = render(readme, FOLDER)
    except ValueError as error:
        sys.stderr.write(f"terraform/README.md: {error}\n")
        return 1
    if current == readme:
        return 0
    if arguments:
        sys.stderr.write("terraform/README.md is out of date: run `python scripts/terraform_readme.py`\n")
        return 1
    README.write_text(current, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
