"""A stand-in for the worker: a small program that does what its function name says, and leaves notes in files.

sleep        runs until `release` lets it go; SIGTERM ends it
stubborn     the same, but ignores SIGTERM
exit-3       ends at once with code 3, after a line on stderr
family       starts children: one in the session, one out of it, one out of it without its environment; then as sleep
environment  writes its environment, working folder and open descriptors as JSON, then ends
"""

import json
from pathlib import Path

from multinode_control_plane.core.records import LocalBundle
from tests.support.waiting import until

STUB = """
import json, os, signal, subprocess, sys, time
from pathlib import Path
here, token = Path.cwd(), os.environ["MULTINODE_WORKER_IDENTIFIER"]
what = os.environ["MULTINODE_FUNCTION_NAME"]

def note(name, text):
    new = here / f".{token}.{name}"
    new.write_text(text)
    new.rename(here / f"{token}.{name}")

note(f"started-{os.getpid()}", "")
print(json.dumps({"t": 1, "s": "worker", "m": "begun"}), flush=True)
if what == "exit-3":
    print("ModuleNotFoundError: no module named 'x'", file=sys.stderr, flush=True)
    sys.exit(3)
if what == "environment":
    descriptors = [d for d in os.listdir("/dev/fd")]
    note("environment", json.dumps([dict(os.environ), str(here), descriptors, os.getsid(0) == os.getpid()]))
    sys.exit(0)
if what == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if what == "family":
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    children = [
        subprocess.Popen(sleeper),
        subprocess.Popen(sleeper, start_new_session=True),
        subprocess.Popen(sleeper, env={}),
    ]
    note("family", json.dumps([child.pid for child in children]))
note("ready", "")
while not (here / f"{token}.release").exists():
    time.sleep(0.01)
"""


def make_bundle(folder: Path, python: str, *, env_file: str | None = None) -> LocalBundle:
    """Return a bundle whose interpreter runs the stub, whatever module it is asked for."""
    code, binaries = folder / "code", folder / "bin"
    code.mkdir(parents=True)
    binaries.mkdir()
    (folder / "stub.py").write_text(STUB)
    interpreter = binaries / "python"
    # `exec` keeps the process that was started, and with it the descriptors that it inherited.
    interpreter.write_text(f'#!/bin/sh\nexec "{python}" -I "{folder / "stub.py"}"\n')
    interpreter.chmod(0o755)
    return LocalBundle(str(code), str(interpreter), env_file)


def started(bundle: LocalBundle) -> list[str]:
    """Return one note for each stub that was started."""
    return sorted(path.name for path in Path(bundle.code_dir).glob("exe-*.started-*"))


def pids_of(bundle: LocalBundle, token: str) -> list[int]:
    return [int(name.rpartition("-")[2]) for name in started(bundle) if name.startswith(f"{token}.")]


def notes(bundle: LocalBundle, token: str, name: str) -> object:
    """Return what a stub has noted under a name; waits for it."""
    path = Path(bundle.code_dir, f"{token}.{name}")
    until(path.exists, path.name, every_s=0.01)
    text = path.read_text()
    return json.loads(text) if text else None


def release(bundle: LocalBundle, token: str) -> None:
    Path(bundle.code_dir, f"{token}.release").touch()
