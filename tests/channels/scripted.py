"""A scripted SMTP server on loopback: it fails at one stage of one mail."""

import socket
import socketserver
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Container, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

# Self-signed, for 127.0.0.1; made for these tests. Its key is not secret.
CERTIFICATE = Path(__file__).with_name("loopback.pem")
RESET, SILENCE = "RST", "silence"
# A reply that never ends: it sends a byte or a line every tenth of a second.
BYTES, LINES = "bytes", "lines"
STAGES = ("greeting", "EHLO", "STARTTLS", "handshake", "AUTH", "MAIL", "RCPT", "DATA", "content", "end of content")


class Over(Exception):
    """The dialogue has ended."""


@dataclass
class Script:
    """The fault at one stage, and at which of its occurrences over all connections it happens."""

    stage: str = ""
    fault: str = ""
    turns: Container[int] = (1,)
    pipelining: bool = False
    # Reply to an envelope only after all commands were received.
    patient: bool = False
    # Faults at other stages, which happen every time.
    besides: Mapping[str, str] = field(default_factory=dict)
    # Send only the fault.
    hangs_up: bool = False
    # Ask for content after refusing every recipient, which RFC 2920 (3.1) allows.
    lenient: bool = False
    offers: tuple[str, ...] = ()
    over_tls: bool = False
    # The recipients whose mails fail; all if None.
    whom: Callable[[str], bool] | None = None
    # The seconds before a reply: before each, and at some stages.
    seconds: float = 0
    slow: Mapping[str, float] = field(default_factory=dict)
    # The number of mails that it accepts on one connection, and the reply to other recipients.
    mails_per_connection: int = 0
    limit: str = ""
    reached: Counter = field(default_factory=Counter)
    connections: int = 0
    accepted: list[str] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    for_nobody: list[bytes] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    port: int = 0


class Conversation(socketserver.StreamRequestHandler):
    """One connection, from the greeting to its end."""

    timeout = 10
    # Each reply is sent immediately.
    disable_nagle_algorithm = True

    def handle(self):
        self.script = self.server.script
        self.script.connections += 1
        self.sender, self.recipients = False, []
        self.verb, self.unsaid, self.recipient, self.mails = "", b"", "", 0
        try:
            if self.script.over_tls:
                self._encrypt()
            self._at("greeting", "220 scripted")
            while line := self.rfile.readline():
                self._obey(line.decode().strip())
        except (Over, OSError):
            return

    def _obey(self, line):
        self.script.commands.append(line)
        self.verb = line.split()[0].upper()
        getattr(self, f"_{self.verb.lower()}")(line)

    def _ehlo(self, line):
        offers = ["scripted", *self.script.offers, *["PIPELINING"] * self.script.pipelining]
        self._at("EHLO", "\r\n".join(f"250-{offer}" for offer in offers) + "\r\n250 8BITMIME")

    def _helo(self, line):
        self._at("EHLO", "250 scripted")

    def _starttls(self, line):
        self._at("STARTTLS", "220 Go ahead")
        self._encrypt()

    def _auth(self, line):
        self._at("AUTH", "235 Welcome")

    def _mail(self, line):
        self.sender = self._at("MAIL", "250 OK")
        self.recipients = []

    def _rcpt(self, line):
        self.recipient = line[len("RCPT TO:<") : -1]
        if not self.sender:
            self._say("503 5.5.1 No sender yet")
        elif self.script.mails_per_connection and self.mails >= self.script.mails_per_connection:
            self._say(self.script.limit)
        elif self._at("RCPT", "250 OK"):
            self.recipients.append(line[len("RCPT TO:<") : -1])

    def _data(self, line):
        if not self.recipients and not (self.sender and self.script.lenient):
            self._say("503 5.5.1 No valid recipients")
        elif self._at("DATA", "354 Go ahead"):
            self._take()

    def _take(self):
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            if not line:
                raise Over
            lines.append(line)
            if len(lines) == 1 and self._is_now("content"):
                self._fail(self.script.fault)
        if not self.recipients:
            self.script.for_nobody.append(b"".join(lines))
            self._at("end of nothing", "554 5.5.1 No valid recipients")
        elif self._at("end of content", "250 Kept"):
            self.mails += 1
            self.script.accepted += self.recipients
            self.script.contents.append(b"".join(line[line.startswith(b".") :] for line in lines))
        self.sender, self.recipients = False, []

    def _rset(self, line):
        self.sender, self.recipients = False, []
        self._at("RSET", "250 OK")

    def _quit(self, line):
        self._say("221 Bye")
        raise Over

    def _at(self, stage, usual):
        """Send the usual reply or the fault of the script, and return whether the reply is a success."""
        time.sleep(self.script.slow.get(stage, self.script.seconds))
        if self._is_now(stage):
            return self._fail(self.script.fault)[0] == usual[0]
        if stage in self.script.besides:
            return self._fail(self.script.besides[stage])[0] == usual[0]
        self._say(usual)
        return True

    def _is_now(self, stage):
        self.script.reached[stage] += 1
        is_turn = stage == self.script.stage and self.script.reached[stage] in self.script.turns
        return is_turn and (self.script.whom is None or self.script.whom(self.recipient))

    def _fail(self, fault):
        if fault == RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            raise Over
        if fault == SILENCE:
            self._wait_for_the_end()
        if fault in (BYTES, LINES):
            self._drip(b"2" if fault == BYTES else b"220-Please wait\r\n")
        self._say(fault)
        if fault.startswith("421") or self.script.hangs_up:
            self.connection.shutdown(socket.SHUT_WR)
            self._wait_for_the_end()
        return fault

    def _drip(self, drop):
        for _ in range(50):
            self.connection.sendall(drop)
            time.sleep(0.1)
        raise Over

    def _wait_for_the_end(self):
        self.rfile.read()
        raise Over

    def finish(self):
        super().finish()
        self.request.close()

    def _say(self, line):
        self.unsaid += f"{line}\r\n".encode()
        if not self.script.patient or self.verb not in ("MAIL", "RCPT"):
            self.wfile.write(self.unsaid)
            self.unsaid = b""

    def _encrypt(self):
        if self._is_now("handshake"):
            self.rfile.peek()  # the client's part of the handshake
            self._fail(self.script.fault)
            self._wait_for_the_end()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        self.request = context.wrap_socket(self.request, server_side=True)
        self.setup()


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = False
    allow_reuse_address = True


@contextmanager
def scripted(**script):
    with Server(("127.0.0.1", 0), Conversation) as server:
        server.script = Script(**script, port=server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.script
        finally:
            server.shutdown()
            thread.join(5)
