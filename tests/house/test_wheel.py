"""The wheel carries what the commands read beside Python: templates, the Terraform module, and the Lambda package."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
SOURCES = ("multinode_cli", "runtime", "lambda_src", "templates", "terraform")
FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE")
MADE_BY_TOOLS = shutil.ignore_patterns("__pycache__", "*.egg-info", ".terraform*", "*.tfstate*", "*.zip")


def test_the_wheel_has_templates_and_the_whole_terraform_module(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in SOURCES:
        shutil.copytree(ROOT / name, source / name, ignore=MADE_BY_TOOLS)
    for name in FILES:
        shutil.copyfile(ROOT / name, source / name)
    (source / "terraform" / "multinode-lambda.zip").write_bytes(b"built by `make lambda`")
    command = [sys.executable, "-m", "build", "--outdir", str(tmp_path / "dist"), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    module = [*(ROOT / "terraform").glob("*.tf"), *(ROOT / "terraform").glob("modules/*/*.tf")]
    wanted = {f"multinode_terraform/{file.relative_to(ROOT / 'terraform').as_posix()}" for file in module}
    wanted |= {f"multinode_templates/{file.name}" for file in (ROOT / "templates").glob("*.*")}
    assert wanted | {"multinode_terraform/multinode-lambda.zip", "multinode/py.typed"} <= names
    assert len(wanted) >= 19
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        *("multinode", "multinode_cli", "multinode_control_plane", "multinode_protocol"),
        *("multinode_templates", "multinode_terraform"),
    }
