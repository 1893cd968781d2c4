"""``python -m multinode.worker``."""

import os
import sys

from multinode.worker.run import main

if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # Python would first remove the handler of SIGTERM, and a late SIGTERM would then change the exit code.
    os._exit(code)
