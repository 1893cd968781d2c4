"""What functions under test may ask: ``count/NAME`` counts its calls, ``gate/NAME`` answers once that is open."""

import threading
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LONGEST_WAIT_S = 1800


class Switchboard:
    """An HTTP server at `host`, an address at which the functions reach this machine."""

    def __init__(self, host: str) -> None:
        self.counts: Counter[str] = Counter()
        self._gates: defaultdict[str, threading.Event] = defaultdict(threading.Event)
        self._lock = threading.Lock()
        board = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                text = board._answer(*self.path.strip("/").split("/"))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((host, 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{host}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, name="switchboard", daemon=True).start()

    def gate_url(self, gate: str) -> str:
        return f"{self.url}/gate/{gate}"

    def count_url(self, name: str) -> str:
        return f"{self.url}/count/{name}"

    def open(self, gate: str) -> None:
        self._gate(gate).set()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _gate(self, name: str) -> threading.Event:
        with self._lock:
            return self._gates[name]

    def _answer(self, kind: str, name: str) -> str:
        if kind == "gate":
            return str(self._gate(name).wait(LONGEST_WAIT_S))
        with self._lock:
            self.counts[name] += 1
            return str(self.counts[name])
