"""The documents: links lead somewhere, commands exist, scripts run."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from multinode_cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/*.md")])
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")


def text_of(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def anchors(document: Path) -> set[str]:
    """Return the anchors that GitHub makes of a document's headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text_of(document), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_a_heading(document: Path) -> None:
    broken = []
    for link in LINK.findall(CODE.sub("", text_of(document))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_that_is_shown_exists(document: Path) -> None:
    known = {name for section in COMMANDS.values() for name in section}
    code = "\n".join(CODE.findall(text_of(document)))
    shown = set(re.findall(r"^(?:```|`)?(?:\$ )?multinode ([a-z]+)\b", code, re.MULTILINE))
    assert shown - known == set()


def test_the_readme_shows_commands_at_all() -> None:
    assert re.search(r"^\$ multinode deploy ", text_of(ROOT / "README.md"), re.MULTILINE)


@pytest.mark.parametrize("name", ["scripts/demo.sh", ".ci/run"])
def test_scripts_are_executable_and_bash_can_read_them(name: str) -> None:
    assert os.access(ROOT / name, os.X_OK)
    bash = shutil.which("bash")
    assert bash is not None
    assert subprocess.run([bash, "-n", str(ROOT / name)], capture_output=True, check=False).stderr == b""


def test_every_target_of_the_makefile_that_the_documents_name_exists() -> None:
    makefiles = [ROOT / "Makefile", *ROOT.glob("*/*.mk"), *ROOT.glob("tests/*/*.mk")]
    targets = {name for file in makefiles for name in re.findall(r"^([a-z-]+):", text_of(file), re.MULTILINE)}
    shown = {
        name
        for document in DOCUMENTS
        for name in re.findall(r"^(?:\$ )?make ([a-z-]+)", text_of(document), re.MULTILINE)
    }
    assert {"demo", "test", "check"} <= shown
    assert shown - targets == set()


def test_the_licence_is_the_one_that_the_package_names() -> None:
    text = text_of(ROOT / "LICENSE")
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert 'license = "Apache-2.0"' in text_of(ROOT / "pyproject.toml")
