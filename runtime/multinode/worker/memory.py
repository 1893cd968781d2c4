"""How often the kernel killed a process of this container because memory ran out."""

from pathlib import Path


def oom_kills(proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the kernel's count of out-of-memory kills in our control group. None: it cannot be read.

    Version 2 keeps it in `memory.events`, version 1 (Linux 4.13 and later) in `memory.oom_control`, both as a line
    ``oom_kill N``: docs.kernel.org, admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst. Inside a container the group's
    own folder is often mounted as the root, even if `proc` has another path for it; so both are tried.
    """
    try:
        groups = [line.split(":", 2) for line in proc.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return None
    for _, controllers, path in (group for group in groups if len(group) == 3):
        if controllers == "":
            mounts, name = [root, root / "unified"], "memory.events"
        elif "memory" in controllers.split(","):
            mounts, name = [root / "memory"], "memory.oom_control"
        else:
            continue
        for mount in mounts:
            for folder in (mount / path.lstrip("/"), mount):
                count = _count(folder / name)
                if count is not None:
                    return count
    return None


def _count(file: Path) -> int | None:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(" ")
        if name == "oom_kill" and value.strip().isdigit():
            return int(value)
    return None
