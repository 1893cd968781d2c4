"""The user's own code travels by value, and meets its twin where the reader has the same source. Real processes."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SHAPES = """
import enum, dataclasses, threading
LOCK = threading.Lock()

class Color(enum.Enum):
    RED = 1

@dataclasses.dataclass
class Point:
    x: int
    color: Color = Color.RED

    def doubled(self):
        return double(self.x)

def double(x):
    return 2 * x

class Locked:
    def lock(self):
        return LOCK
"""
MAIN = """
import sys, shapes
from multinode import Multinode
mn = Multinode()

class Order:
    def __init__(self, n):
        self.n = n
    def total(self):
        return shapes.double(self.n)

@mn.function
def countdown(n):
    return n if n == 0 else countdown(n - 1)

def pick(name):
    return {
        "point": shapes.Point(3),
        "red": shapes.Color.RED,
        "double": shapes.double,
        "order": Order(4),
        "locked": shapes.Locked(),
        "module": shapes,
        "function": countdown,
    }[name]
"""
WRITE = """
import sys, pathlib
folder = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(folder))
import main
from multinode.payload import encode_value, travel_by_value
travel_by_value(folder)
print(encode_value(main.pick(sys.argv[2])))
"""
READ = """
import sys
from multinode.payload import decode_value
value = decode_value(sys.stdin.read())
"""
LATE = """
import sys, pathlib
sys.path.insert(0, sys.argv[1])
from multinode.payload import decode_value, encode_value, travel_by_value
travel_by_value(pathlib.Path(sys.argv[1]))
value = decode_value(sys.stdin.read())
import shapes
assert type(value) is shapes.Point, type(value)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "shapes.py").write_text(SHAPES)
    (folder / "main.py").write_text(MAIN)
    return folder


def python(code: str, *arguments: object, folder: Path, text: str = "") -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    ran = subprocess.run(command, input=text, capture_output=True, text=True, cwd=folder, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def holds(code: str, *arguments: object, folder: Path, text: str = "") -> bool:
    """Return True if `code`, with the assertions in it, runs to its end."""
    return python(f"{code}\nprint('the end')", *arguments, folder=folder, text=text).endswith("the end\n")


def written(project: Path, name: str) -> str:
    """Return what a worker of the project makes of one of its values."""
    return python(WRITE, project, name, folder=project.parent)


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("point", "value.doubled() == 6 and value.color.name == 'RED' and value == type(value)(3)"),
        ("red", "value.value == 1 and value is type(value).RED"),
        ("double", "value(21) == 42"),
        ("order", "value.total() == 8"),
        ("function", "value(3) == 0 and value.__name__ == 'countdown'"),
    ],
)
def test_a_caller_needs_no_copy_of_the_project(project: Path, tmp_path: Path, name: str, check: str) -> None:
    assert holds(f"{READ}\nassert {check}", folder=tmp_path, text=written(project, name))


def test_a_caller_with_the_same_source_gets_its_own_classes(project: Path, tmp_path: Path) -> None:
    reader = f"import sys; sys.path.insert(0, sys.argv[1]); import shapes\n{READ}"
    point = f"{reader}\nassert value == shapes.Point(3) and isinstance(value, shapes.Point)"
    assert holds(point, project, folder=tmp_path, text=written(project, "point"))
    red = f"{reader}\nassert value is shapes.Color.RED"
    assert holds(red, project, folder=tmp_path, text=written(project, "red"))
    double = f"{reader}\nassert value is shapes.double"
    assert holds(double, project, folder=tmp_path, text=written(project, "double"))


def test_a_caller_with_another_source_gets_the_writers_classes(project: Path, tmp_path: Path) -> None:
    text = written(project, "point")
    (project / "shapes.py").write_text(SHAPES.replace("return 2 * x", "return 3 * x"))
    reader = f"import sys; sys.path.insert(0, sys.argv[1]); import shapes\n{READ}"
    check = f"{reader}\nassert value.doubled() == 6 and not isinstance(value, shapes.Point)"
    assert holds(check, project, folder=tmp_path, text=text)


def test_another_worker_imports_what_it_had_not_imported_yet(project: Path, tmp_path: Path) -> None:
    assert holds(LATE, project, folder=tmp_path, text=written(project, "point"))


def test_the_main_file_run_as_a_script_is_the_workers_main(project: Path, tmp_path: Path) -> None:
    script = f"{MAIN}\nfrom multinode.payload import decode_value\nvalue = decode_value(sys.stdin.read())\n"
    script += "assert type(value) is Order and value.total() == 8\n"
    (project / "main.py").write_text(
        script.replace("value = decode", "value = __name__ == '__main__' and decode").replace(
            "assert type", "assert __name__ != '__main__' or type"
        )
    )
    text = written(project, "order")
    command = [sys.executable, str(project / "main.py")]
    ran = subprocess.run(command, input=text, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr


def test_code_that_cannot_travel_goes_by_name_and_says_so_where_it_is_missing(project: Path, tmp_path: Path) -> None:
    text = written(project, "locked")
    with_code = f"import sys; sys.path.insert(0, sys.argv[1])\n{READ}\nassert value.lock() is not None"
    assert holds(with_code, project, folder=tmp_path, text=text)
    without = "import sys\nfrom multinode.payload import decode_value\nfrom multinode.errors import PayloadError\n"
    without += "try: decode_value(sys.stdin.read())\nexcept PayloadError as error: print(error)"
    assert "No module named 'shapes'" in python(without, folder=tmp_path, text=text)


def test_a_module_travels_with_what_of_it_can(project: Path, tmp_path: Path) -> None:
    check = f"{READ}\nassert value.double(1) == 2 and value.Point(3).doubled() == 6\n"
    check += "assert not hasattr(value, 'LOCK') and not hasattr(value, 'Locked')"
    assert holds(check, folder=tmp_path, text=written(project, "module"))


def test_a_module_that_travels_is_not_taken_for_an_imported_one(project: Path, tmp_path: Path) -> None:
    (project / "shapes.py").write_text(
        "def double(x):\n    return 2 * x\nPoint = Locked = lambda *x: None\nclass Color: RED = 1\n"
    )
    check = f"{READ}\nassert value.__name__ == 'shapes' and value.double(4) == 8 and 'shapes' not in sys.modules"
    assert holds(check, folder=tmp_path, text=written(project, "module"))


def test_a_callers_own_modules_reach_the_worker_by_value(tmp_path: Path) -> None:
    (tmp_path / "models.py").write_text("class Thing:\n    def hello(self): return 'hi'\n")
    (tmp_path / "client.py").write_text(
        "import models\nfrom multinode.payload import encode_arguments\n"
        "print(encode_arguments((models.Thing(),), {}))\n"
    )
    ran = subprocess.run(
        [sys.executable, str(tmp_path / "client.py")], capture_output=True, text=True, timeout=60, check=True
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    check = "import sys\nfrom multinode.payload import decode_arguments\n"
    check += "assert decode_arguments(sys.stdin.read())[0][0].hello() == 'hi'"
    assert holds(check, folder=elsewhere, text=ran.stdout)


def test_installed_packages_below_the_project_are_not_its_own(project: Path, tmp_path: Path) -> None:
    packages = project / ".venv" / "lib" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "vendored.py").write_text("class Thing:\n    pass\n")
    (project / "main.py").write_text("import vendored\ndef pick(name):\n    return vendored.Thing()\n")
    text = python(f"import sys; sys.path.append({str(packages)!r})\n{WRITE}", project, "x", folder=tmp_path)
    without = "import sys\nfrom multinode.payload import decode_value\nfrom multinode.errors import PayloadError\n"
    without += "try: decode_value(sys.stdin.read())\nexcept PayloadError as error: print(error)"
    assert "No module named 'vendored'" in python(without, folder=tmp_path, text=text)
