"""Start `slow_sum` from an application, follow its progress, print its result.

    python start_and_follow.py [N]

Needs the package `multinode`, a control plane (`multinode login` or `multinode local start`) and the deployed project,
but none of the project's own files.
"""

import sys
import time

from multinode import InvocationStatus, get_deployed_function


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    slow_sum = get_deployed_function(project_name="quickstart", function_name="slow_sum")

    invocation_id = slow_sum.start(n)
    print(f"started {invocation_id}")

    shown = None
    while not (invocation := slow_sum.get(invocation_id)).status.finished:
        news = (invocation.status, invocation.status_reason, invocation.result)
        if news != shown:
            progress = "" if invocation.result is None else f": {invocation.result} so far"
            print(f"{invocation.status} ({invocation.status_reason}){progress}")
            shown = news
        time.sleep(0.2)

    print(invocation.status)
    if invocation.status is InvocationStatus.SUCCEEDED:
        print(f"1 + … + {n} = {invocation.result}")
    else:
        sys.exit(invocation.error)


if __name__ == "__main__":
    main()
