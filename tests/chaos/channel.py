"""The channel that every fault uses: one line to the provider for each message, one line back."""

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from notifications.channels import BaseChannel
from notifications.channels.base import Rendered
from notifications.models import Delivery
from notifications.outcomes import Receipt, Verdict
from tests.chaos.settings import GROUP


@dataclass(frozen=True)
class Parcel:
    """A message: what the ledger shall know of it."""

    delivery: int
    epoch: int
    fence: int
    strikes: int
    words: str

    @property
    def line(self) -> bytes:
        return f"{self.delivery} {self.epoch} {self.fence} {os.getpid()}\n".encode()


ANSWERS = {b"accepted\n": Verdict.ACCEPTED, b"temporary\n": Verdict.TEMPORARY}
WORDS = {Verdict.ACCEPTED: "", Verdict.TEMPORARY: "Not now."}

SET_BY_STORIES = ("on_prepare", "on_begin", "on_accepted", "group_size", "timeout")

Moment = Callable[[Sequence[Parcel], int], None]


class ChaosChannel(BaseChannel):
    """Its provider and its fail points are set on the class, before or after a worker is forked."""

    group_size = GROUP
    one_by_one = True
    timeout = 0.5
    # Told to a worker that is a program of its own; one that is forked has it from its parent.
    port: ClassVar[int] = int(os.environ.get("KLAXON_WITNESS_PORT", "0"))
    on_prepare: ClassVar[Callable[[str], None]] = lambda words: None
    on_begin: ClassVar[Moment] = lambda parcels, accepted: None
    on_accepted: ClassVar[Moment] = lambda parcels, accepted: None

    @classmethod
    @contextmanager
    def as_it_was(cls) -> Iterator[None]:
        """Take back, at the end of the block, whatever moments and sizes were set in it."""
        before = {name: getattr(cls, name) for name in SET_BY_STORIES}
        try:
            yield
        finally:
            for name, moment in before.items():
                setattr(cls, name, moment)

    def __init__(self) -> None:
        self.stream: socket.socket | None = None

    def prepare(self, delivery: Delivery, rendered: Rendered) -> Parcel:
        type(self).on_prepare(rendered.text)
        return Parcel(delivery.pk, delivery.epoch, delivery.fence, delivery.strikes, rendered.text)

    def send(self, messages: Sequence[Parcel]) -> Iterator[Receipt]:
        type(self).on_begin(messages, 0)
        for number, parcel in enumerate(messages, 1):
            verdict = self.hand_over(parcel)
            type(self).on_accepted(messages, number)
            yield Receipt(parcel, verdict, provider="witness", error=WORDS[verdict])

    def hand_over(self, parcel: Parcel) -> Verdict:
        """Once the line is on its way, an error means that nobody knows whether it was accepted."""
        if not self.is_open():
            return Verdict.TEMPORARY
        try:
            return self.answer_to(parcel)
        except OSError:
            self.close()
            raise

    def is_open(self) -> bool:
        """Whether the provider is there, and greets."""
        if self.stream is None:
            try:
                self.stream = socket.create_connection(("127.0.0.1", self.port), timeout=30)
                if self.stream.recv(64) != b"ready\n":
                    self.close()
            except OSError:
                self.close()
        return self.stream is not None

    def answer_to(self, parcel: Parcel) -> Verdict:
        self.stream.sendall(parcel.line)
        answer = self.stream.recv(64)
        if answer not in ANSWERS:
            raise ConnectionError("The provider ended the connection without an answer.")
        return ANSWERS[answer]

    def close(self) -> None:
        if self.stream is not None:
            self.stream.close()
            self.stream = None
