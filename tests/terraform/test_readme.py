"""terraform/README.md lists the inputs and outputs that the modules have."""

from pathlib import Path

import pytest

from scripts import terraform_readme

README = "# Title\n<!-- inputs of . -->\nold\n<!-- end -->\ntext\n<!-- outputs of sub -->\n<!-- end -->\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "variables.tf").write_text(
        'variable "size" {\n'
        '  description = "How big: a|b."\n'
        "  type = object({\n"
        "    width  = number\n"
        "    height = optional(number) # default: width\n"
        "  })\n"
        "  default  = null\n"
        "  nullable = false\n"
        "}\n"
        "\n"
        'variable "name" {\n'
        '  description = "Its name."\n'
        "  type        = string\n"
        "\n"
        "  validation {\n"
        '    condition     = var.name != ""\n'
        '    error_message = "No."\n'
        "  }\n"
        "}\n"
    )
    (tmp_path / "sub" / "outputs.tf").write_text('output "id" {\n  description = "Its id."\n  value       = "x"\n}\n')
    return tmp_path


def test_the_readme_is_current() -> None:
    assert terraform_readme.main(["--check"]) == 0


def test_tables_are_made_from_the_declarations(folder: Path) -> None:
    assert terraform_readme.render(README, folder) == (
        "# Title\n"
        "<!-- inputs of . -->\n"
        "| name | type | default | what it is |\n"
        "| --- | --- | --- | --- |\n"
        "| `size` | `object({ width = number, height = optional(number) })` | `null` | How big: a\\|b. |\n"
        "| `name` | `string` | *required* | Its name. |\n"
        "<!-- end -->\n"
        "text\n"
        "<!-- outputs of sub -->\n"
        "| name | what it is |\n"
        "| --- | --- |\n"
        "| `id` | Its id. |\n"
        "<!-- end -->\n"
    )


def test_a_rendered_readme_renders_to_itself(folder: Path) -> None:
    once = terraform_readme.render(README, folder)
    assert terraform_readme.render(once, folder) == once


def test_an_input_without_a_description_is_refused(folder: Path) -> None:
    (folder / "variables.tf").write_text('variable "size" {\n  type = number\n}\n')
    with pytest.raises(ValueError, match="size needs a description"):
        terraform_readme.render(README, folder)


def test_a_readme_without_tables_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="no table"):
        terraform_readme.render("# Title\n", folder)


def test_every_link_of_the_readme_leads_somewhere() -> None:
    links = [part.split(")")[0] for part in terraform_readme.README.read_text().split("](")[1:]]
    assert len(links) >= 10
    assert [link for link in links if not (terraform_readme.FOLDER / link).exists()] == []
