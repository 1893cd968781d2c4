"""⑤ ``python -m multinode.worker``."""

import sys

from multinode.worker.run import main

if __name__ == "__main__":
    sys.exit(main())
