"""Escalation of an event: who gets its notification next if nobody acknowledges it in time.

Targets are texts, so that code, settings and tables name them in one way. :func:`parse_target` describes their form.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum
from itertools import pairwise
from typing import Any, NamedTuple

from notifications.events.enums import NotificationPriority, key_of

MAX_AFTER = timedelta(days=30)
MAX_REPEATS = 100
REPEAT_EVERY = timedelta(minutes=15)
TARGET_KINDS = {
    "user": "user:ada",
    "role": "role:Supervisors",
    "topic": "topic:power",
    "address": "address:email=office@example.com",
    "rota": "rota:surgery",
    "path": "path:hospital.duty.find_supervisor",
}
"""The kinds of targets with an example of each. A text without a kind is a name of ``ESCALATION_TARGETS``."""
TARGET_FORMS = f"a name of ESCALATION_TARGETS, or one of the forms {', '.join(TARGET_KINDS.values())}"


class Target(NamedTuple):
    """A parsed target. The kind is empty for a name of ``ESCALATION_TARGETS``."""

    kind: str
    value: str


def parse_target(text: str) -> Target:
    """Return a target that is written as ``kind:value``, or as a name of ``ESCALATION_TARGETS``.

    :raises ValueError: if it is empty or has an unknown kind.
    """
    kind, colon, value = text.strip().partition(":")
    if not colon and kind:
        return Target("", kind)
    if kind not in TARGET_KINDS or not value.strip():
        raise ValueError(f"{text!r:.80} is not a target. Write {TARGET_FORMS}.")
    return Target(kind, value.strip())


@dataclass(frozen=True)
class Step:
    """A step of an escalation.

    :param after: the time since the notification.
    :param target: who gets the notification then: a target, or a list of targets. A target is a name of the setting
        ``ESCALATION_TARGETS``, or a text such as ``"role:Supervisors"``; see the page about escalation.
    :param channels: the channels of this step; by default those of the event. They need not be channels of the event.
    :param repeat: how often the step is repeated if nobody acknowledges, each time after ``repeat_every`` of the
        escalation.
    """

    after: timedelta
    target: str | Sequence[str]
    channels: Sequence[Any] = ()
    repeat: int = 0

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.target,) if isinstance(self.target, str) else tuple(self.target)

    @property
    def channel_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(key_of(channel) for channel in self.channels))


class Page(NamedTuple):
    """One time at which an escalation sends the notification again.

    :param after: seconds since the notification.
    :param step: the number of the step, from 1.
    :param round: 0 for the step itself, 1 for its first repetition.
    """

    after: float
    step: int
    round: int
    targets: tuple[str, ...]
    channels: tuple[str, ...]


@dataclass(frozen=True)
class Escalation:
    """Who gets a notification next if nobody acknowledges it in time.

    :param steps: in the order of their times.
    :param repeat_every: the time between repetitions of a step. After the last repetition of the last step and this
        time, the escalation is exhausted.
    :param acknowledged_for: how long an acknowledgement holds. If nobody resolves the matter in that time, the
        escalation goes on. None: it holds forever.
    :param starts_by_priority: whether the first step waits for the time of the notification's priority: none for
        CRITICAL, 15 minutes for HIGH, an hour for MEDIUM. The distances between the steps stay the same. LOW
        notifications do not escalate.
    :raises ValueError, TypeError: if a value is invalid.
    """

    steps: Sequence[Step]
    repeat_every: timedelta = REPEAT_EVERY
    acknowledged_for: timedelta | None = None
    starts_by_priority: bool = False

    def __post_init__(self) -> None:
        for fault in find_escalation_type_faults(self):
            raise TypeError(fault)
        object.__setattr__(self, "steps", tuple(self.steps))
        for fault in find_escalation_faults(self):
            raise ValueError(fault)

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(target for step in self.steps for target in step.targets))

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for step in self.steps for name in step.channel_names))

    def list_pages(self, priority: int) -> list[Page]:
        """Return every time at which it sends a notification of this priority; empty if it does not escalate."""
        delay = timedelta()
        if self.starts_by_priority:
            start = START_BY_PRIORITY[NotificationPriority(priority)]
            if start is None:
                return []
            delay = start - self.steps[0].after
        return [
            Page(
                (step.after + delay + number * self.repeat_every).total_seconds(),
                index,
                number,
                step.targets,
                step.channel_names,
            )
            for index, step in enumerate(self.steps, 1)
            for number in range(step.repeat + 1)
        ]


def find_escalation_type_faults(escalation: Escalation) -> Iterator[str]:
    """Yield what is wrong with the types of the values of an escalation."""
    steps = escalation.steps
    if not isinstance(steps, Collection) or not all(isinstance(step, Step) for step in steps):
        yield f"steps of an Escalation must be a list of Step(…), not {steps!r:.80}."
        return
    for name, value in (("repeat_every", escalation.repeat_every), *(("after", step.after) for step in steps)):
        if not isinstance(value, timedelta):
            yield f"{name} of an Escalation must be a timedelta, such as timedelta(minutes=15), not {value!r:.80}."
    if not isinstance(escalation.acknowledged_for, timedelta | None):
        yield f"acknowledged_for of an Escalation must be a timedelta or None, not {escalation.acknowledged_for!r:.80}."
    for step in steps:
        yield from _find_step_type_faults(step)


def _find_step_type_faults(step: Step) -> Iterator[str]:
    if not isinstance(step.target, str | Sequence) or not all(isinstance(one, str) for one in step.target):
        yield f"target of a Step must be a text or a list of texts, not {step.target!r:.80}: {TARGET_FORMS}."
    if isinstance(step.channels, str | Enum) or not isinstance(step.channels, Iterable):
        yield f"channels of a Step must be a list, not {step.channels!r:.80}."
    if type(step.repeat) is not int:
        yield f"repeat of a Step must be a whole number, not {step.repeat!r:.80}."


def find_escalation_faults(escalation: Escalation) -> Iterator[str]:
    """Yield what is wrong with the values of an escalation, with what to do about it."""
    steps, every, held = escalation.steps, escalation.repeat_every, escalation.acknowledged_for
    if not steps:
        yield "An Escalation needs at least one Step."
    if every < timedelta(minutes=1) or every > MAX_AFTER:
        yield f"repeat_every of an Escalation must be from a minute to {MAX_AFTER.days} days, not {every}."
    if held is not None and not timedelta() < held <= MAX_AFTER:
        yield f"acknowledged_for of an Escalation must be more than 0 and at most {MAX_AFTER.days} days, not {held}."
    for step in steps:
        yield from _find_step_faults(step)
    for number, (step, following) in enumerate(pairwise(steps), 1):
        if step.after + step.repeat * every >= following.after:
            yield (
                f"Step {number + 1} of an Escalation must begin after step {number} and its repetitions, which end "
                f"after {step.after + step.repeat * every}. Give it a later time, or step {number} fewer repetitions."
            )


def _find_step_faults(step: Step) -> Iterator[str]:
    if not timedelta() <= step.after <= MAX_AFTER:
        yield f"after of a Step must be from 0 to {MAX_AFTER.days} days, not {step.after}."
    if not 0 <= step.repeat <= MAX_REPEATS:
        yield f"repeat of a Step must be from 0 to {MAX_REPEATS}, not {step.repeat}."
    if not step.targets:
        yield f"A Step needs a target: {TARGET_FORMS}."
    for text in step.targets:
        try:
            parse_target(text)
        except ValueError as error:
            yield f"A Step has an invalid target: {error}"


START_BY_PRIORITY: dict[NotificationPriority, timedelta | None] = {
    NotificationPriority.CRITICAL: timedelta(),
    NotificationPriority.HIGH: timedelta(minutes=15),
    NotificationPriority.MEDIUM: timedelta(hours=1),
    NotificationPriority.LOW: None,
}
DEFAULT_ESCALATION = Escalation(
    (
        Step(timedelta(minutes=15), "supervisor"),
        Step(timedelta(minutes=30), "director"),
        Step(timedelta(hours=1), "office"),
        Step(timedelta(hours=2), "emergency", repeat=3),
    ),
    starts_by_priority=True,
)
"""The escalation of events with ``escalation=True``. ``ESCALATION_TARGETS`` says who these names are."""


def normalize_escalation(value: Any) -> Escalation | None:
    """Return the escalation that an event declares. True and ``"default"`` are the default one.

    :raises TypeError: if it is anything else.
    """
    if value is None or value is False:
        return None
    if value is True or value == "default":
        return DEFAULT_ESCALATION
    if not isinstance(value, Escalation):
        raise TypeError(f'must be an Escalation, True or "default", or None, not {value!r:.80}.')
    return replace(value, steps=tuple(value.steps))
