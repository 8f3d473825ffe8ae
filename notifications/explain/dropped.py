"""Whom ``send()`` refused: there is no delivery, only a row of the log."""

from collections.abc import Iterator, Sequence

from notifications.events import NOTIFICATION_EVENTS
from notifications.explain.explanation import ChannelExplanation, Happened, Step
from notifications.explain.remedies import about_row, change_for, choice_behind
from notifications.explain.steps import sentences
from notifications.models import NotificationLog
from notifications.outcomes import DeliveryState, Drop, Reason, Rule, RuleKind
from notifications.sending.enqueue import ALL_RECIPIENTS
from notifications.sending.gates import Person

REFUSED_WHOLE = "the send was refused whole, because the queue was full, and it is not kept for whom it was meant"


def refusals(row: NotificationLog, person: Person) -> Iterator[ChannelExplanation]:
    """For each channel of the row; only a row about everybody names several."""
    is_whole = row.recipient_key == ALL_RECIPIENTS
    rule = REFUSED_WHOLE if is_whole else row.error_message or str(row.get_reason_display())
    for channel in _channels(row) if is_whole else [row.channel]:
        yield _refusal(row, channel, rule, choice_behind(rule, person, row.event, channel))


def _refusal(row: NotificationLog, channel: str, rule: str, choice: Rule | None) -> ChannelExplanation:
    change = change_for(row.reason, about_row(row, channel, row.event, choice))
    answer = Drop(Reason(row.reason), choice or Rule(RuleKind.TEXT, detail={"text": rule}))
    return ChannelExplanation(
        channel,
        sentences("It did not go out", rule, change),
        (Step("send", answer, rule, change),),
        answer,
        state=str(DeliveryState.DROPPED),
        reason=row.reason,
        story=(Happened(row.sent_at, sentences("It was dropped by send()", rule)),),
    )


def _channels(row: NotificationLog) -> list[str]:
    event = NOTIFICATION_EVENTS.named(row.event)
    names = [name.strip() for name in row.channel.split(",")]
    return [_whole(name, event.channels if event else ()) for name in names if name]


def _whole(name: str, known: Sequence[str]) -> str:
    """The column may have cut the last name off in its midst."""
    return name if name in known else next((one for one in known if one.startswith(name)), name)
