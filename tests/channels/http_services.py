"""Services with an HTTP API on loopback, which answer as a test tells them, or do not."""

import json
import socket
import threading
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

DRIP_SECONDS = 0.05


@dataclass(frozen=True)
class Received:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def form(self):
        return {name: values[-1] for name, values in parse_qs(self.body.decode()).items()}


@dataclass(frozen=True)
class Answer:
    """An answer, or a way to fail: ``close``, ``cut`` (in the body), ``silence``, ``drip`` (headers), ``endless``.

    ``answer_then_close`` answers and closes the connection, which a client wants to keep.
    ``interim`` is the way to send an interim answer (103) before it, ``banner`` that to answer in another protocol.
    """

    status: int = 200
    body: bytes | str | dict | list = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    way: str = ""

    @property
    def content(self):
        if isinstance(self.body, dict | list):
            return json.dumps(self.body).encode()
        return self.body.encode() if isinstance(self.body, str) else self.body


class HTTPService:
    """Records requests. ``answers`` are used one after the other, and then ``default``.

    ``answer`` can be replaced by a function that takes the request and returns an ``Answer``.
    """

    def __init__(self, default):
        self.default = default
        self.answers = []
        self.received = []
        self.url = ""
        self.stopped = threading.Event()
        self.lock = threading.Lock()

    def answer(self, received):
        with self.lock:
            return self.answers.pop(0) if self.answers else self.default

    def reset(self):
        self.answers.clear()
        self.received.clear()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _handle(self):
        service = self.server.service
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        received = Received(self.command, self.path, self.headers, body)
        with service.lock:
            service.received.append(received)
        answer = service.answer(received)
        try:
            getattr(self, f"_{answer.way or 'answer'}")(answer, service)
        except OSError:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _handle

    def _start(self, answer, length):
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _answer(self, answer, service):
        self._start(answer, len(answer.content))
        self.wfile.write(answer.content)

    def _answer_then_close(self, answer, service):
        # Without the header that would announce it.
        self._answer(answer, service)
        self.close_connection = True

    def _interim(self, answer, service):
        self.connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n")
        # The client must not take what follows for the answer to its next request.
        service.stopped.wait(DRIP_SECONDS)
        self._answer(answer, service)

    def _banner(self, answer, service):
        self.connection.sendall(b"220 mail.example.com ESMTP\r\n")
        self._close(answer, service)

    def _close(self, answer, service):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _cut(self, answer, service):
        self._start(answer, len(answer.content) + 100)
        self.wfile.write(answer.content)
        self._close(answer, service)

    def _silence(self, answer, service):
        service.stopped.wait(30)
        self._close(answer, service)

    def _drip(self, answer, service):
        self.close_connection = True
        self.connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while not service.stopped.wait(DRIP_SECONDS):
            self.connection.sendall(b"x")

    def _endless(self, answer, service):
        self.close_connection = True
        self._start(answer, None)
        while not service.stopped.is_set():
            self.connection.sendall(b"x" * 4096)

    def log_message(self, *args):
        return


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """A client that hangs up is part of these tests."""


@contextmanager
def http_service(default=None, tls=None):
    """Run a service. ``service.stop()`` ends it within the test, so that nothing listens on its port any more."""
    service = HTTPService(default or Answer())
    server = _Server(("127.0.0.1", 0), _Handler)
    server.service = service
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    service.port = server.server_address[1]
    service.url = f"{'https' if tls else 'http'}://127.0.0.1:{service.port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()

    def stop():
        if not service.stopped.is_set():
            service.stopped.set()
            server.shutdown()
            server.server_close()
            thread.join(5)

    service.stop = stop
    try:
        yield service
    finally:
        stop()
