"""The module and its examples, as Terraform itself sees them."""

import re
from pathlib import Path

import pytest

from scripts.terraform_offline import EXAMPLES, MODULES, check, copy_modules, environment
from tests.terraform.mirror import Terraform

pytestmark = [pytest.mark.slow(about_s=85), pytest.mark.requires("terraform")]


def test_modules_and_examples_are_formatted_and_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = check(copy_modules(tmp_path / "terraform"), environment(tmp_path))
    output = capsys.readouterr()
    assert code == 0, output.err
    assert output.out == f"terraform: all files are formatted; valid: {', '.join((*MODULES, *EXAMPLES))}\n"


def test_a_misspelt_argument_is_found_in_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = copy_modules(tmp_path / "terraform")
    example = copy / "examples" / "minimal" / "main.tf"
    example.write_text(example.read_text().replace('source = "../.."', 'source = "../.."\n  nmae   = "x"'))
    assert check(copy, environment(tmp_path)) == 1
    problem = capsys.readouterr().err
    assert "terraform/examples/minimal" in problem
    assert 'An argument named "nmae" is not expected here' in problem


@pytest.mark.timeout(400)
def test_terraform_test_passes(module: Terraform) -> None:
    done = module.run("test", "-no-color")
    assert done.returncode == 0, done.stdout
    runs = sum(path.read_text().count('\nrun "') for path in (module.folder / "tests").glob("*.tftest.hcl"))
    assert f"Success! {runs} passed, 0 failed." in done.stdout


def test_every_validation_has_a_test_that_breaks_it(module: Terraform) -> None:
    tests = "".join(path.read_text() for path in (module.folder / "tests").glob("*.tftest.hcl"))
    broken = set(re.findall(r"expect_failures = \[var\.(\w+)]", tests))
    validated = {
        block[1]
        for folder in MODULES
        for path in (module.folder / folder).glob("variables.tf")
        for block in re.finditer(r'^variable "(\w+)" \{\n(.*?)^}', path.read_text(), re.MULTILINE | re.DOTALL)
        if "validation {" in block[2]
    }
    assert len(validated) >= 14
    assert validated <= broken


def test_a_missing_package_is_explained_before_anything_is_planned(tmp_path: Path) -> None:
    copy = copy_modules(tmp_path / "terraform")
    (copy / "multinode-lambda.zip").unlink()
    variables = environment(tmp_path)
    minimal = Terraform(copy / "examples" / "minimal", variables)
    minimal.run("init", "-backend=false", "-no-color")
    done = minimal.run("validate", "-no-color")
    assert done.returncode == 1
    assert "There is no file at ../../multinode-lambda.zip: build the package with `make" in done.stdout
