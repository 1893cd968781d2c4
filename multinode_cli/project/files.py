"""Opening paths that may be anything: a pipe that would hang, a link to elsewhere, a folder."""

import os
import stat
from io import BufferedReader
from pathlib import Path


class NotAFile(OSError):
    """A folder, pipe, socket or device."""

    def __init__(self, path: Path) -> None:
        super().__init__(0, "not a file", str(path))


def open_file(path: Path, *, follow_link: bool) -> BufferedReader:
    """Open a regular file for reading, without ever blocking. Raises OSError; NotAFile for anything else.

    Without `follow_link` a symbolic link is an error. The opened file itself is checked, since the name may change.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow_link else os.O_NOFOLLOW))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotAFile(path)
    return os.fdopen(descriptor, "rb")
