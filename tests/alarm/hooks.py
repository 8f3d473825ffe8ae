"""A hook on loopback, which stores what it gets. Its answer can be set."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class HookServer(ThreadingHTTPServer):
    daemon_threads = True

    def reset(self):
        self.payloads, self.heartbeats, self.status, self.seconds = [], [], 204, 0.0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/klaxon?key=s3cret"

    def list_changes(self):
        """The status and the names of the causes of each call."""
        return [(one["status"], *(cause["name"] for cause in one["causes"])) for one in self.payloads]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(self.server.payloads, payload | {"received": time.time()})

    def do_GET(self):
        self.answer(self.server.heartbeats, self.path)

    def answer(self, kept, what):
        kept.append(what)
        time.sleep(self.server.seconds)
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *args):
        pass


@contextmanager
def serve_hook():
    server = HookServer(("127.0.0.1", 0), Handler)
    server.reset()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
