"""The results of ``explain()`` and ``why()``: for each channel the answer of each gate, the rule behind it, and what
would have to change."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.dates import MONTHS, WEEKDAYS
from django.utils.translation import gettext as _

from notifications.explain.chain import ChainStep
from notifications.outcomes import Answer, Deliver, Hold


def format_time(moment: datetime | None, zone: ZoneInfo) -> str:
    """Return a time as text: ``07:00 on Sunday 22 November 2026, Europe/Berlin``."""
    if moment is None:
        return _("an unknown time")
    local = moment.astimezone(zone)
    words = {"time": f"{local:%H:%M}", "weekday": WEEKDAYS[local.weekday()], "month": MONTHS[local.month]}
    return _("{time} on {weekday} {day} {month} {year}, {zone}").format(
        **words, day=local.day, year=local.year, zone=zone.key
    )


@dataclass(frozen=True)
class Step:
    """The answer of one gate or check.

    :param gate: the name of a gate, or ``permission``, ``channel``, ``event``, ``idempotency``, ``queue``, ``switch``,
        ``cancel``, ``prefer``, ``send_at``, ``expires_at`` or ``send`` for the other checks.
    :param rule: the rule that decided, as text.
    :param change: what would have to change; empty if the answer is ``Deliver``.
    """

    gate: str
    answer: Answer
    rule: str
    change: str = ""

    @property
    def lets_through(self) -> bool:
        return isinstance(self.answer, Deliver)

    @property
    def word(self) -> str:
        """``deliver``, ``hold`` or ``drop``."""
        return type(self.answer).__name__.lower()

    @property
    def title(self) -> str:
        """The name of the gate, for people."""
        return self.gate.replace("_", " ")

    def until(self, zone: ZoneInfo) -> str:
        """Return the end of a hold as text, in a time zone; empty for other answers."""
        return format_time(self.answer.until, zone) if isinstance(self.answer, Hold) else ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        reason = "" if isinstance(self.answer, Deliver) else str(self.answer.reason)
        until = self.answer.until.isoformat() if isinstance(self.answer, Hold) else None
        texts = {"rule": self.rule, "change": self.change}
        return {"gate": self.gate, "answer": self.word, "reason": reason, "until": until, **texts}


@dataclass(frozen=True)
class Happened:
    """One thing that happened to a delivery, as text."""

    at: datetime
    what: str


@dataclass(frozen=True)
class ChannelExplanation:
    """Why one recipient is or is not reached on one channel.

    :param summary: the result, in one or two sentences.
    :param steps: the answers in order, up to the first drop; empty if the delivery is no longer waiting.
    :param answer: the combined answer; None if the delivery is no longer waiting.
    :param arrives_at: the earliest time at which the notification is sent, or the time at which it was sent. None if
        it is not sent or the time cannot be known.
    :param delivery_id: the delivery; None before sending and for a recipient that was dropped.
    :param state: the state of the delivery.
    :param reason: the reason of the state.
    :param story: what has happened so far.
    :param notes: other obstacles at the moment, such as a paused channel.
    :param to_nobody: whether the channel sends to no address and no account, as ``log`` does.
    """

    channel: str
    summary: str
    steps: tuple[Step, ...] = ()
    answer: Answer | None = None
    arrives_at: datetime | None = None
    delivery_id: int | None = None
    state: str = ""
    reason: str = ""
    story: tuple[Happened, ...] = ()
    notes: tuple[str, ...] = ()
    to_nobody: bool = False

    @property
    def reaches(self) -> bool:
        """Whether the notification reaches somebody on this channel, as far as can be known."""
        return self.arrives_at is not None and not self.to_nobody

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "channel": self.channel,
            "summary": self.summary,
            "answer": None if self.answer is None else type(self.answer).__name__.lower(),
            "arrives_at": self.arrives_at and self.arrives_at.isoformat(),
            "delivery_id": self.delivery_id,
            "state": self.state,
            "reason": self.reason,
            "steps": [step.as_dict() for step in self.steps],
            "story": [{"at": event.at.isoformat(), "what": event.what} for event in self.story],
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Explanation:
    """Why one recipient is or is not reached. ``str()`` returns sentences.

    :param recipient: the recipient key: ``u:42``, or ``a:`` and a hash.
    :param at: the moment that the explanation is about.
    :param zone: the recipient's time zone, in which times are given.
    :param name: the user as the admin names them; empty for an ``Address``.
    :param chain: who would get the notification next if nobody acknowledged it; for ``why()``, who still would.
    :param chain_state: the state of the escalation of a notification that was sent, for people.
    """

    event: str
    recipient: str
    at: datetime
    zone: ZoneInfo
    channels: tuple[ChannelExplanation, ...]
    name: str = ""
    chain: tuple[ChainStep, ...] = ()
    chain_state: str = ""

    @property
    def reaches(self) -> bool:
        """Whether the notification reaches or reached somebody on at least one channel, as far as can be known."""
        return any(channel.reaches for channel in self.channels)

    def channel(self, name: str) -> ChannelExplanation:
        """Return the explanation for one channel.

        :raises KeyError: if there is none for this channel.
        """
        for channel in self.channels:
            if channel.channel == name:
                return channel
        raise KeyError(name)

    def as_dict(self) -> Mapping[str, Any]:
        """Return plain values, for JSON."""
        return {
            "event": self.event,
            "recipient": self.recipient,
            "name": self.name,
            "at": self.at.isoformat(),
            "zone": self.zone.key,
            "reaches": self.reaches,
            "channels": [channel.as_dict() for channel in self.channels],
            "chain": [step.as_dict() for step in self.chain],
            "chain_state": self.chain_state,
        }

    def __str__(self) -> str:
        head = _("{event} to {recipient}, as of {time}.")
        recipient, time = self.name or self.recipient, format_time(self.at, self.zone)
        lines = [head.format(event=self.event, recipient=recipient, time=time)]
        sent = ", ".join(channel.channel for channel in self.channels if channel.arrives_at is not None)
        if not self.channels:
            lines.append(_("The notification was not meant for this recipient."))
        if sent and not self.reaches:
            nobody = _("It reaches nobody: deliveries on {channels} are sent to no address and no account.")
            lines.append(nobody.format(channels=sent))
        lines += [line for channel in self.channels for line in self._describe_channel(channel)]
        return "\n".join([*lines, *self._describe_chain()])

    def _describe_chain(self) -> Iterable[str]:
        if self.chain_state:
            yield _("Escalation: {state}.").format(state=self.chain_state)
        if self.chain:
            yield _("If nobody acknowledges it:")
        for step in self.chain:
            words = {
                "time": format_time(step.at, self.zone),
                "people": ", ".join(step.people) or _("nobody"),
                "channels": ", ".join(step.channels),
            }
            yield "  " + " ".join(filter(None, (_("{time}: {people}, by {channels}.").format(**words), step.problem)))

    def _describe_channel(self, channel: ChannelExplanation) -> Iterable[str]:
        yield f"{channel.channel}: {channel.summary}"
        yield from (f"  {format_time(event.at, self.zone)}: {event.what}" for event in channel.story)
        for step in channel.steps:
            end = step.until(self.zone)
            word = _("{answer} until {time}").format(answer=step.word, time=end) if end else step.word
            yield f"  {step.gate}: {word} ({step.rule.removesuffix('.')}). {step.change}".rstrip()
        yield from (f"  {note}" for note in channel.notes)
