"""A loopback HTTP server that stands for several providers, some of which accept a connection and do not answer."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from notifications.channels import BaseChannel
from notifications.outcomes import Blame, Receipt, Verdict


class Gateways(ThreadingHTTPServer):
    """The providers, one for each path. ``arrived`` has the path, the delivery and the time of each request."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 100

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.reset()

    def reset(self) -> None:
        self.arrived: list[tuple[str, int, float]] = []
        self.hanging: set[str] = set()
        self.released = threading.Event()

    def release(self) -> None:
        self.hanging.clear()
        self.released.set()

    def list_arrived(self, *paths: str) -> list[int]:
        """Return the deliveries that arrived at these paths, or at all paths, in order."""
        return [delivery for path, delivery, _at in list(self.arrived) if path in paths or not paths]


class Handler(BaseHTTPRequestHandler):
    server: Gateways

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = self.path.strip("/")
        self.server.arrived.append((path, body["delivery"], time.monotonic()))
        if path in self.server.hanging:
            self.server.released.wait(30)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def run_gateways() -> Iterator[Gateways]:
    server = Gateways()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.release()
        server.shutdown()
        thread.join()
        server.server_close()


class GatewayChannel(BaseChannel):
    """Posts each message to its path. If there is no answer, it blames ``blames``."""

    address_kind = "user"
    one_by_one = True

    def __init__(self, port: int, path: str, timeout: float = 20.0, blames: str = "PROVIDER") -> None:
        self.port, self.path, self.timeout, self.blames = port, path, timeout, Blame[blames]

    def prepare(self, delivery, rendered):
        return {"delivery": delivery.pk}

    def send(self, messages):
        for message in messages:
            connection = HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)
            try:
                connection.request("POST", f"/{self.path}", json.dumps(message))
                connection.getresponse().read()
                yield Receipt(message, Verdict.ACCEPTED, self.path)
            except OSError as error:
                yield Receipt(message, Verdict.TEMPORARY, self.path, error=repr(error), blames=self.blames)
            finally:
                connection.close()
