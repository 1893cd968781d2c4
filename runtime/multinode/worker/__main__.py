"""⑤ ``python -m multinode.worker``."""

import os
import sys

from multinode.worker.run import main

if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # Python's own way out takes SIGTERM's handler away first: one that comes late would change the exit code.
    os._exit(code)
