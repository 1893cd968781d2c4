"""Where everything finds AWS: passes each request on to the emulator, but for the calls that a test's part answers.

Two listeners: AWS's APIs, over HTTP on the loopback interface; and the deployment's own HTTP API, over TLS at the
address at which containers reach this machine. Answers that name the emulator's addresses name these instead.
"""

import json
import re
import ssl
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TIMEOUT_S = 300
SERVICES = {"AmazonEC2ContainerServiceV20141113": "ecs", "AmazonEC2ContainerRegistry_V20150921": "ecr"}
NOT_PASSED_ON = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}
API_ENDPOINT = re.compile(rb"http://(\w+)\.execute-api\.localhost:\d+")
REPOSITORY_HOST = re.compile(rb"\d{12}\.dkr\.ecr\.[\w-]+\.amazonaws\.com(?=/)")


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    """Path and query."""
    headers: Mapping[str, str]
    body: bytes

    @property
    def action(self) -> str:
        """``ecs:RunTask``, for example; empty for services that no part answers for."""
        service, _, action = self.headers.get("X-Amz-Target", "").partition(".")
        return f"{SERVICES[service]}:{action}" if service in SERVICES else ""

    @cached_property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.body)
        return data


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def json(cls, data: object, status: int = 200) -> "Answer":
        return cls(status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(data).encode())

    @classmethod
    def error(cls, code: str, message: str, status: int = 400) -> "Answer":
        return cls.json({"__type": code, "message": message}, status)


Forward = Callable[[Request], Answer]
Interceptor = Callable[[Request, Forward], Answer]


class Front:
    """`interceptors` answer by action, such as ``ecs:RunTask``; they may ask the emulator themselves."""

    def __init__(self, emulator_port: int, *, api_host: str, certificate: Path, registry_host: str) -> None:
        self.interceptors: dict[str, Interceptor] = {}
        self.lost: list[str] = []
        """Requests that had no answer: their sender, Terraform's provider for one, sends them again."""
        self._emulator_port = emulator_port
        self._registry_host = registry_host
        self._api_id = ""
        self._aws = _listen("127.0.0.1", self._answer_aws)
        self._api = _listen(api_host, self._answer_api, certificate)
        self.url = f"http://127.0.0.1:{self._aws.server_port}"
        self.api_url = f"https://{api_host}:{self._api.server_port}"

    def stop(self) -> None:
        for server in (self._aws, self._api):
            server.shutdown()
            server.server_close()

    def _answer_aws(self, request: Request) -> Answer:
        interceptor = self.interceptors.get(request.action)
        if interceptor is not None:
            return interceptor(request, self._forward)
        answer = self._forward(request)
        if request.action.startswith("ecr:"):
            return replace(answer, body=REPOSITORY_HOST.sub(self._registry_host.encode(), answer.body))
        if request.target.startswith("/v2/apis"):
            if found := API_ENDPOINT.search(answer.body):
                self._api_id = found[1].decode()
            return replace(answer, body=API_ENDPOINT.sub(self.api_url.encode(), answer.body))
        return answer

    def _answer_api(self, request: Request) -> Answer:
        host = f"{self._api_id}.execute-api.localhost:{self._emulator_port}"
        return self._forward(replace(request, headers={**request.headers, "Host": host}))

    def _forward(self, request: Request) -> Answer:
        connection = HTTPConnection("127.0.0.1", self._emulator_port, timeout=TIMEOUT_S)
        try:
            connection.request(request.method, request.target, body=request.body, headers=dict(request.headers))
            answer = connection.getresponse()
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in NOT_PASSED_ON}
            return Answer(answer.status, headers, answer.read())
        except OSError as error:
            self.lost.append(f"{request.method} {request.target} {request.body[:120]!r}: {error!r}")
            raise
        finally:
            connection.close()


def _listen(host: str, answer_of: Callable[[Request], Answer], certificate: Path | None = None) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.title(): value for name, value in self.headers.items()}
            answer = answer_of(Request(self.command, self.path, headers, body))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _handle

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: Any, client_address: Any) -> None:
            if not isinstance(sys.exception(), OSError):  # a client that went away is no error of ours
                super().handle_error(request, client_address)

    server = Server((host, 0), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, name=f"front {host}", daemon=True).start()
    return server
