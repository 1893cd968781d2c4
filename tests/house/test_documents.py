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


GENERATED = re.compile(r"<!-- (?:in|out)puts of .*?<!-- end -->", re.DOTALL)  # terraform/README.md, from the module


def tracked_files(*patterns: str) -> list[Path]:
    """Return the files of the repository that match, without those that are deleted but not yet committed."""
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for name in listed.stdout.splitlines() if (path := ROOT / name).is_file()]


def test_no_line_is_longer_than_160_characters() -> None:
    files = tracked_files(*(f"*.{kind}" for kind in ("md", "py", "tf", "hcl", "sh")))
    assert len(files) > 200
    too_long = [
        f"{file.relative_to(ROOT)}: {line[:60]}… ({len(line)})"
        for file in files
        for line in GENERATED.sub("", text_of(file)).splitlines()
        if len(line) > 160
    ]
    assert too_long == []


def test_only_architecture_numbers_the_steps_of_a_call() -> None:
    circled = re.compile(f"[{chr(0x2460)}-{chr(0x2473)}]")
    numbered = [path for path in tracked_files() if circled.search(path.read_text(encoding="utf-8", errors="ignore"))]
    assert numbered == [ROOT / "ARCHITECTURE.md"]


def test_architecture_is_short_enough_to_be_read() -> None:
    assert len(text_of(ROOT / "ARCHITECTURE.md").split()) < 3500


def test_the_decisions_are_numbered_without_gaps_and_all_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    records = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert [int(name[:4]) for name in records] == list(range(1, len(records) + 1))
    assert re.findall(r"^- \[\d{4}]\((.*?)\)", text_of(folder / "README.md"), re.MULTILINE) == records


def test_nothing_recommends_the_package_index_which_has_another_product() -> None:
    spoken = [
        *DOCUMENTS,
        *ROOT.glob("terraform/*.md"),
        *ROOT.glob("multinode_cli/**/*.py"),
        *ROOT.glob("runtime/**/*.py"),
    ]
    assert [
        file.name for file in spoken if re.search(r"(pip|uv|pipx)\b.*\binstall\b.*['\" ]multinode\b", text_of(file))
    ] == []


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
