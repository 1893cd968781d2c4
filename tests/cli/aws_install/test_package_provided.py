"""The Lambda package that an installation uses."""

import zipfile
from pathlib import Path

import pytest

from multinode_cli.aws_install import lambda_package

pytestmark = pytest.mark.slow


def test_a_package_of_these_very_files_is_used_and_any_other_built_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lambda_package, "build", lambda output: output.write_bytes(b"built"))
    shipped, output = tmp_path / "shipped.zip", tmp_path / "output.zip"
    assert lambda_package.provide(output, shipped) is True
    with shipped.open("wb") as file:
        lambda_package._write(file, {**lambda_package._own_files(), "jmespath/__init__.py": b""})
    assert lambda_package.provide(output, shipped) is False
    assert output.read_bytes() == shipped.read_bytes()
    with zipfile.ZipFile(shipped, "a") as archive:
        archive.writestr("multinode_control_plane/another.py", b"")
    assert lambda_package.provide(output, shipped) is True
    assert output.read_bytes() == b"built"
