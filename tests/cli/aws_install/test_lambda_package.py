"""The Lambda package: the same bytes whenever it is built, complete, and nothing in it that does not belong there."""

import hashlib
import os
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from multinode_cli.aws_install import lambda_package

pytestmark = pytest.mark.slow

HANDLERS = ("api", "changes", "task_events", "sweep")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("lambda") / "new" / "lambda.zip"
    digest = lambda_package.build(output)
    assert digest == hashlib.sha256(output.read_bytes()).hexdigest()
    return output


def test_it_is_the_same_on_every_run_whatever_the_locale_the_mask_and_the_hash_seed(
    package: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again.zip"
    command = [sys.executable, "-m", "multinode_cli.aws_install.lambda_package", "--output", str(again)]
    environ = {**os.environ, "PYTHONHASHSEED": "7", "LC_ALL": "C", "TZ": "Asia/Kathmandu"}
    environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, umask=0o077)
    assert again.read_bytes() == package.read_bytes()
    assert hashlib.sha256(package.read_bytes()).hexdigest() in done.stdout


def test_names_are_sorted_times_and_modes_fixed_and_nothing_is_compressed(package: Path) -> None:
    with zipfile.ZipFile(package) as archive:
        entries = archive.infolist()
        assert archive.testzip() is None
    assert [entry.filename for entry in entries] == sorted({entry.filename for entry in entries})
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {oct(entry.external_attr >> 16) for entry in entries} == {"0o100644"}
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}


def test_nothing_compiled_nothing_of_the_local_deployment_and_no_boto3_is_in_it(package: Path) -> None:
    with zipfile.ZipFile(package) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names if not name.partition("/")[0].endswith(".dist-info")}
    assert tops == {"multinode_control_plane", "multinode_protocol"}
    assert [name for name in names if name.endswith((".pyc", ".so")) or "adapters/local" in name] == []
    # Lambda takes 50 MB sent directly, and a smaller one starts sooner.
    assert package.stat().st_size < 1_000_000


@pytest.mark.parametrize("handler", HANDLERS)
def test_every_handler_can_be_imported_from_it_beside_lambdas_own_boto3(
    package: Path, tmp_path: Path, handler: str
) -> None:
    with zipfile.ZipFile(package) as archive:
        archive.extractall(tmp_path / "task")
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    import botocore

    site = Path(botocore.__file__).parent.parent
    for name in ("boto3", "botocore", "jmespath", "s3transfer", "urllib3", "dateutil", "six.py"):
        (runtime / name).symlink_to(site / name)
    program = f"""
import sys
from multinode_control_plane.handlers.{handler} import handler
from multinode_control_plane.wiring.settings import multinode_version
print(handler.__module__, multinode_version(), sys.modules["multinode_control_plane"].__file__)
"""
    done = subprocess.run(
        [sys.executable, "-S", "-B", "-c", program],
        env={"PYTHONPATH": f"{tmp_path / 'task'}{os.pathsep}{runtime}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    module, version, where = done.stdout.split()
    assert module == f"multinode_control_plane.handlers.{handler}"
    assert version == metadata.version("multinode")
    assert where.startswith(str(tmp_path))
