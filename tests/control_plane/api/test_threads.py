"""One handler, many threads: nobody is answered with another's request."""

import threading
from concurrent.futures import ThreadPoolExecutor

from tests.support.api_client import Api
from tests.support.fakes import FakeWaiter


def test_requests_in_many_threads_are_each_answered_for_themselves() -> None:
    api = Api()
    names = [f"n{number}" for number in range(8)]
    for name in names:
        api.put(f"/projects/{name}")
    together = threading.Barrier(8)

    def ask(name: str) -> set[str]:
        together.wait(timeout=300)
        answers = {api.get(f"/projects/{name}").body.get("project_name") for _ in range(150)}
        missing = {api.get(f"/projects/no-{name}").code for _ in range(20)}
        return answers | missing

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, names)) == [{name, "ProjectDoesNotExist"} for name in names]


class HoldingWaiter(FakeWaiter):
    """Holds every request that waits until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.here = threading.Event()
        self.go = threading.Event()

    def wait(self, invocation_id, changed, timeout_s) -> None:  # type: ignore[no-untyped-def]
        self.here.set()
        assert self.go.wait(timeout=300)


def test_a_request_that_waits_keeps_no_other_from_being_answered() -> None:
    waiter = HoldingWaiter()
    api = Api(waiter=waiter).deploy()
    invocation_id = api.start()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(api.get, f"/invocations/{invocation_id}", "wait_s=20")
        assert waiter.here.wait(timeout=300)
        assert api.put(f"/invocations/{invocation_id}/cancel").status == 200
        assert api.get("/projects/shop").body["project_name"] == "shop"
        waiter.go.set()
        assert waiting.result(timeout=300).body["status"] == "CANCELLED"
