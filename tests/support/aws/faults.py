"""Faults between an adapter and AWS, at the place where botocore sends: lost on the way there, or on the way back."""

from collections.abc import Callable
from typing import Any, cast

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from botocore.httpsession import URLLib3Session


class Network:
    """Sends a client's requests, and keeps them. `fates` decide over the next ones, one each; then all is well.

    ``lost`` never arrives; ``answer lost`` arrives and is carried out; any function does what it likes first.
    """

    def __init__(self, client: Any, operation: str) -> None:
        self.fates: list[str | Callable[[], None]] = []
        self.requests: list[bytes] = []
        self._session = URLLib3Session()
        service = client.meta.service_model.service_id.hyphenize()
        client.meta.events.register_first(f"before-send.{service}.{operation}", self._send)

    def _send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse | None:
        self.requests.append(bytes(cast(bytes, request.body)))
        if not self.fates:
            return None
        fate = self.fates.pop(0)
        if callable(fate):
            fate()
            return None
        if fate == "lost":
            raise ConnectTimeoutError(endpoint_url=request.url)
        assert fate == "answer lost"
        self._session.send(request)
        raise ReadTimeoutError(endpoint_url=request.url)
