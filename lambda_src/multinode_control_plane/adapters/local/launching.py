"""Starting one worker's process: its command, its environment, its output, and the lock that it inherits."""

import errno
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from multinode_control_plane.adapters.local.private_files import read_json
from multinode_control_plane.core.records import LocalBundle
from multinode_control_plane.ports import LaunchRefused, LaunchRequest
from multinode_protocol import env_vars
from multinode_protocol.process_tree import MARK

WORKER_COMMAND = ("-P", "-m", "multinode.worker")
"""``-P`` keeps the project's own modules out of the supervisor's way: a project may well have a `queue.py`."""
_PASSING = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EINTR, errno.ETXTBSY, errno.ENOSPC})
"""Shortages, which may be over at the next try."""


def bundle_of(request: LaunchRequest) -> LocalBundle:
    """Return where the version's files are on this machine. Raises LaunchRefused (permanent) if they are missing."""
    bundle = request.local_bundle
    if bundle is None:
        raise LaunchRefused("its version was not deployed for the local backend; deploy it again", permanent=True)
    for place in (bundle.code_dir, bundle.python, bundle.env_file):
        if place is not None and not Path(place).exists():
            raise LaunchRefused(f"{place} no longer exists; deploy the project again", permanent=True)
    return bundle


def worker_environment(
    request: LaunchRequest, bundle: LocalBundle, server_environment: Mapping[str, str], mark: str
) -> dict[str, str]:
    """Return the worker's whole environment. Multinode's values take precedence over the project's own."""
    inherited = {name: server_environment[name] for name in env_vars.INHERITED if name in server_environment}
    # Programs that the project's requirements installed are found first.
    path = os.pathsep.join([str(Path(bundle.python).parent), inherited.get("PATH", os.defpath)])
    return {
        **inherited,
        "PATH": path,
        **_project_values(bundle),
        **request.environment,
        env_vars.CODE_DIR: bundle.code_dir,
        env_vars.LOG_FORMAT: "json",
        env_vars.WORKER_IDENTIFIER: request.token,
        MARK: mark,
    }


def spawn(bundle: LocalBundle, variables: Mapping[str, str], log_file: Path, lock: int) -> "subprocess.Popen[bytes]":
    """Start the worker in a session of its own and return it. It inherits the descriptor `lock`, and its lock with it.

    Raises LaunchRefused when no process was started.
    """
    try:
        log_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        output = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LaunchRefused(f"its log file cannot be opened: {error}") from error
    try:
        return subprocess.Popen(
            [bundle.python, *WORKER_COMMAND],
            cwd=bundle.code_dir,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(lock,),
            start_new_session=True,
        )
    except OSError as error:
        raise LaunchRefused(f"its process cannot be started: {error}", permanent=error.errno not in _PASSING) from error
    finally:
        os.close(output)


def _project_values(bundle: LocalBundle) -> dict[str, str]:
    if bundle.env_file is None:
        return {}
    try:
        document = read_json(Path(bundle.env_file))
    except (OSError, ValueError) as error:
        # The error may quote the file; its values are secret.
        raise LaunchRefused(
            f"{bundle.env_file} cannot be read ({type(error).__name__}); deploy the project again", permanent=True
        ) from None
    return {name: str(value) for name, value in (document or {}).items() if not name.startswith("MULTINODE_")}
