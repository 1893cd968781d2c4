"""What `import multinode` loads: only the standard library until there is something to send. Real processes."""

import json
import subprocess
import sys

import pytest

import multinode

pytestmark = pytest.mark.slow

LOADED = """
import json, sys
before = set(sys.modules)
{code}
print(json.dumps(sorted(set(sys.modules) - before)))
"""
OURS = {"multinode", "multinode_protocol"}


def loaded_by(code: str) -> set[str]:
    """Return the modules that a fresh interpreter loads for `code`."""
    command = [sys.executable, "-c", LOADED.format(code=code)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return set(json.loads(ran.stdout))


def outsiders(modules: set[str]) -> set[str]:
    return {name.split(".")[0] for name in modules} - sys.stdlib_module_names - OURS


def test_import_multinode_loads_next_to_nothing() -> None:
    modules = loaded_by("import multinode")
    assert outsiders(modules) == set()
    assert {name for name in modules if name.split(".")[0] in OURS} == {"multinode"}


def test_a_project_that_defines_functions_loads_the_standard_library_only() -> None:
    code = "from multinode import Multinode, Retry, errors\nmn = Multinode()\n"
    code += "@mn.function(cpu=1)\ndef f(x): return x\nf(1)"
    assert outsiders(loaded_by(code)) == set()


def test_everything_public_together_loads_no_more_than_the_two_dependencies() -> None:
    code = "from multinode import *\nfrom multinode.payload import encode_value\n"
    code += "from multinode.transport import _new_pool\nencode_value((1,)); _new_pool('https://api.example')"
    assert outsiders(loaded_by(code)) <= {"cloudpickle", "urllib3"}


def test_every_public_name_can_be_had_and_others_are_refused() -> None:
    assert all(getattr(multinode, name) is not None for name in multinode.__all__)
    assert set(multinode.__all__) <= set(dir(multinode))
    with pytest.raises(AttributeError, match=r"no attribute 'Multinodes'.*get_deployed_function"):
        _ = multinode.Multinodes
