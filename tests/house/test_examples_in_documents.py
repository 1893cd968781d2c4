"""The examples in README.md and docs/ run as they are written, each page on a local deployment of its own.

A block of shell or Python that is not run says why, in a comment before it that readers do not see:
``<!-- not run: needs an AWS account -->``. What a `console` block shows must appear. A `json` block after an `sh` block
is what that printed, shortened. Ids, times, sizes and versions differ from run to run; `…` stands for anything.
"""

import ast
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
LANGUAGES = {"sh", "console", "python", "json", "hcl", "dotenv", "text"}
RUN = {"sh", "console", "python"}
BLOCK = re.compile(r"^(?:<!-- not run: (.+) -->\n)?```(.*)\n((?:.*\n)*?)```$", re.MULTILINE)

ID = re.compile(r"(?:ver|inv|exe)-[0-9a-f]{32}")
VARIES = re.compile(
    r"\d+(\.\d+)? s\b|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\d+(\.\d+)? kB|Python 3\.\d+\.\d+|Progress +\d+|with pip$"
)
MAY_BE_MISSED = re.compile(r"\[.* s\] progress:")  # a value that the next one replaces before anybody looks
READS = re.compile(r"multinode (get|list|describe|logs)\b")  # what they show depends on the moment: they are repeated
DEADLINE_S = 60

SETUP = {"cli.md": "multinode deploy examples/quickstart --project-name quickstart"}
PRELUDE = {
    "rest-api.md": """
import json, os, time, urllib.request
def get(path):
    request = urllib.request.Request(os.environ["MULTINODE_API_URL"] + path)
    request.add_header("Authorization", "Bearer " + os.environ["MULTINODE_API_KEY"])
    return json.load(urllib.request.urlopen(request))
"""
}
AS_TYPED = "import ast, sys; exec(compile(ast.Interactive(ast.parse(sys.argv[1]).body), 'example', 'single'))"


@dataclass(frozen=True)
class Block:
    chapter: int
    not_run: str | None
    language: str
    code: str


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [Block(text.count("\n## ", 0, found.start()), *found.groups()) for found in BLOCK.finditer(text)]


def has_examples(page: Path) -> bool:
    return any(block.language in RUN and block.not_run is None for block in blocks(page))


@dataclass
class Reader:
    """Somebody who types a page's examples into one shell, from the top, with the ids of their own deployment."""

    folder: Path
    ids: dict[str, str] = field(default_factory=dict)
    """id in the document -> id here"""

    def environment(self) -> dict[str, str]:
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        own = {f"MULTINODE_{name.upper()}_DIR": str(self.folder / name) for name in ("config", "data")}
        return {**os.environ, **own, "PATH": programs, "CURL_HOME": str(self.folder), "BASH_ENV": ""}

    def types(self, code: str) -> tuple[str, int]:
        """Return what is printed and the exit code. Variables and functions are kept for what is typed later."""
        state = self.folder / "state"
        typed = ID.sub(lambda found: self.ids.get(found[0], found[0]), code)
        script = (
            f"set -euo pipefail\n[ ! -e {state} ] || source {state}\n{typed}\n{{ export -p; declare -f; }} > {state}\n"
        )
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=ROOT,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=150,
            check=False,
        )
        return done.stdout, done.returncode

    def recognises(self, shown: str, printed: str) -> bool:
        """Return whether `printed` is what `shown` stands for, and learn its ids."""
        parts, position = [], 0
        found: list[str] = []
        for part in re.finditer(rf"{ID.pattern}|{VARIES.pattern}|…|\s+", shown):
            parts.append(re.escape(shown[position : part.start()]))
            position = part.end()
            if ID.fullmatch(part[0]):
                known = self.ids.get(part[0])
                parts.append(re.escape(known) if known else rf"({part[0][:4]}[0-9a-f]{{32}})")
                found += [] if known else [part[0]]
            elif part[0].isspace():
                parts.append(r"\s+")
            elif part[0] in ("…", "with pip"):
                parts.append(r".*")
            else:
                parts.append(re.sub(r"\d+(\\\.\d+)*", r"[\\d.]+", re.escape(part[0])))
        match = re.fullmatch("".join(parts) + re.escape(shown[position:]), printed.rstrip())
        if match is not None:
            self.ids.update(zip(found, match.groups(), strict=True))
        return match is not None


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    (tmp_path / ".curlrc").write_text("fail-with-body\n")  # curl ends with 22 where the answer is an error
    found = Reader(tmp_path)
    printed, code = found.types("multinode local start --port 0 --detach")
    assert code == 0, printed
    yield found
    found.types("multinode local stop --cancel")


def check_console(reader: Reader, code: str) -> None:
    for command, _, output in (each.partition("\n") for each in re.split(r"^\$ ", code, flags=re.MULTILINE)[1:]):
        shown = [line for line in output.splitlines() if line.strip() and not MAY_BE_MISSED.match(line)]
        fails = output.startswith("error:")
        give_up = time.monotonic() + DEADLINE_S
        while True:
            printed, exit_code = reader.types(command)
            assert (exit_code != 0) == fails, f"{command}: exit code {exit_code}\n{printed}"
            missing = [line for line in shown if not any(reader.recognises(line, one) for one in printed.splitlines())]
            if not missing or not READS.match(command) or time.monotonic() > give_up:
                break
            time.sleep(0.2)
        assert missing == [], f"{command} printed\n{printed}"


def check_answer(reader: Reader, shown: Any, answer: Any, name: str = "the answer") -> None:
    """Every field that is shown is there, and says the same."""
    assert type(answer) is type(shown), name
    if isinstance(shown, dict):
        for key in shown:
            assert key in answer, f"{name} has no {key}"
            check_answer(reader, shown[key], answer[key], key)
    elif isinstance(shown, list):
        assert len(answer) == len(shown), name
        for left, right in zip(shown, answer, strict=True):
            check_answer(reader, left, right, name)
    elif isinstance(shown, str):
        assert name == "revision" or reader.recognises(shown, answer), f"{name} is {answer!r}, shown is {shown!r}"
    elif not isinstance(shown, int) or isinstance(shown, bool):
        assert answer == shown, name


def check_python(reader: Reader, code: str, prelude: str) -> None:
    latest = next((here for here in reversed(reader.ids.values()) if here.startswith("inv-")), None)
    (reader.folder / "example.py").write_text(f"{prelude}\nid = {latest!r}\n{code}")
    printed, exit_code = reader.types(f"""python -c "{AS_TYPED}" "$(cat {reader.folder / "example.py"})" """)
    assert exit_code == 0, printed
    for value in re.findall(r"  # (?:.*: )?(\d+|\[.*])$", code, re.MULTILINE):
        assert value in printed.splitlines()


@pytest.mark.slow
@pytest.mark.requires("curl")
@pytest.mark.parametrize("page", [page for page in PAGES if has_examples(page)], ids=lambda page: page.name)
def test_the_examples_of_a_page_run_as_they_are_written(page: Path, reader: Reader) -> None:
    if page.name in SETUP:
        assert reader.types(SETUP[page.name])[1] == 0
    examples = blocks(page)
    for block, following in zip(examples, [*examples[1:], None], strict=True):
        if block.language not in RUN or block.not_run is not None:
            continue
        if block.language == "console":
            check_console(reader, block.code)
        elif block.language == "python":
            check_python(reader, block.code, PRELUDE.get(page.name, ""))
        elif following is None or (following.chapter, following.language) != (block.chapter, "json"):
            printed, code = reader.types(block.code)
            assert code == 0, f"{block.code}{printed}"
        else:
            shown = json.loads(following.code)
            printed, code = reader.types(block.code)
            assert code == (22 if "code" in shown else 0), f"{block.code}{printed}"
            answer, _ = json.JSONDecoder().raw_decode(printed, printed.index("{"))  # curl's own message is beside it
            check_answer(reader, shown, answer)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_is_of_a_known_language_and_its_json_can_be_read(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(blocks(page)) * 2 == len(re.findall(r"^\s*```", text, re.MULTILINE))
    for block in blocks(page):
        assert block.language in LANGUAGES, block.code
        if block.language == "json":
            json.loads(block.code)


def test_readme_and_rest_page_have_examples_that_run() -> None:
    assert {"README.md", "rest-api.md", "cli.md"} <= {page.name for page in PAGES if has_examples(page)}


def test_the_function_of_the_readme_is_that_of_the_quickstart() -> None:
    def function(source: str) -> str:
        (found,) = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
        return ast.dump(ast.Module([*found.decorator_list, found.args, *found.body[1:]], []))  # type: ignore[list-item]

    shown = next(block.code for block in blocks(ROOT / "README.md") if block.language == "python")
    assert function(shown) == function((ROOT / "examples" / "quickstart" / "main.py").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("[0.1 s] RUNNING  attempt 1", "[12.5 s] RUNNING attempt 1", True),
        ("[0 s] RUNNING", "[3 s] PENDING", False),
        ("added 1 of 4", "added 2 of 4", False),
        ("n=…", "n=3", True),
        (f"inv-{'0' * 32} done", f"inv-{'a' * 32} done", True),
        (f"inv-{'0' * 32} done", f"exe-{'a' * 32} done", False),
        ("✓ Collected 3 files, 2.6 kB", "✓ Collected 3 files, 3 kB", True),
        ("made with pip", "made with uv", True),
    ],
)
def test_what_is_shown_is_recognised_although_times_and_ids_differ(shown: str, printed: str, same: bool) -> None:
    assert Reader(Path()).recognises(shown, printed) is same


def test_an_id_of_the_document_stands_for_one_id_only() -> None:
    reader = Reader(Path())
    assert reader.recognises(f"inv-{'0' * 32}", f"inv-{'a' * 32}")
    assert not reader.recognises(f"inv-{'0' * 32}", f"inv-{'b' * 32}")
