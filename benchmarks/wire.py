"""A channel to the witness, which gets one line for each message and answers with one line."""

import socket
from collections.abc import Iterator, Sequence

from notifications.channels import BaseChannel
from notifications.channels.base import Rendered
from notifications.models import Delivery
from notifications.outcomes import Receipt, Verdict


class WireChannel(BaseChannel):
    """A channel to the witness.

    :param port: the port on which the witness listens.
    """

    one_by_one = True

    def __init__(self, port: int) -> None:
        self.port = port
        self.stream: socket.socket | None = None

    def prepare(self, delivery: Delivery, rendered: Rendered) -> bytes:
        return b"%s\n" % rendered.text.strip().encode()

    def send(self, messages: Sequence[bytes]) -> Iterator[Receipt]:
        for line in messages:
            if self.stream is None:
                self.stream = socket.create_connection(("127.0.0.1", self.port), timeout=30)
            self.stream.sendall(line)
            if self.stream.recv(64) != b"accepted\n":
                raise ConnectionError("The witness did not accept.")
            yield Receipt(line, Verdict.ACCEPTED, provider="witness")

    def close(self) -> None:
        if self.stream is not None:
            self.stream.close()
            self.stream = None
