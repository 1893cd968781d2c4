"""The program inside a container: a small supervisor that runs the user's code in a child process and reports on it.

``python -m multinode.worker``            the supervisor: `run`; it imports none of the user's code
``python -m multinode.worker.child``      what the supervisor starts: it imports `main.py` and calls the function
``python -m multinode.worker.discover``   what `deploy` runs: it imports `main.py` and writes down its functions

The supervisor alone talks to the control plane. Its exit code is 0 when the end of the execution, good or bad,
was reported, else 1.
"""
