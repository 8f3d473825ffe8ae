"""Providers on loopback: an SMTP server that stores mails, and the HTTP API of a mail service with a set response."""

import asyncio
import json
import threading
from contextlib import contextmanager
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.smtp import SMTP


class PostOffice:
    """Stores the mails that it receives, parsed and as bytes."""

    def __init__(self, pipelining=False):
        self.pipelining = pipelining
        self.mails = []
        self.contents = []
        self.connections = 0
        self.open = True

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        self.connections += 1
        session.host_name = hostname
        return ["250-PIPELINING", *responses] if self.pipelining else responses

    async def refuse(self, server, envelope):
        """Return an answer that refuses a mail, or an empty text. A test can replace it."""
        return ""

    async def handle_DATA(self, server, session, envelope):
        if refusal := await self.refuse(server, envelope):
            return refusal
        self.contents.append(envelope.content)
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 Kept"

    def make_session(self):
        return SMTP(self)


@contextmanager
def post_office(pipelining=False, port=0):
    office = PostOffice(pipelining)
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(office.make_session, "127.0.0.1", port))
    office.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def close():
        if office.open:
            office.open = False
            server.close()
            await asyncio.sleep(0)

    async def finish():
        await close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    office.shut = lambda: asyncio.run_coroutine_threadsafe(finish(), loop).result(5)
    try:
        yield office
    finally:
        office.shut()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


class MailService(ThreadingHTTPServer):
    """Responds to every request with ``status``, closes the connection, or does not respond for a time."""

    status = 200
    headers = {}
    hang_up = False
    silent = False
    date = ""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), MailServiceRequest)
        self.requests = []


class MailServiceRequest(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.hang_up:
            return
        if self.server.silent:
            self.rfile.read(1)
            return
        self.server.requests.append((self.path, body))
        answer = json.dumps({"id": f"<{len(self.server.requests)}@service.example>", "message": "Queued"}).encode()
        self.send_response(self.server.status)
        for name, value in {**self.server.headers, "Content-Length": str(len(answer))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    def date_time_string(self, timestamp=None):
        return self.server.date or super().date_time_string(timestamp)

    def log_message(self, *args):
        pass


@contextmanager
def mail_service():
    with MailService() as service:
        thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield service
        finally:
            service.shutdown()
            thread.join(5)
