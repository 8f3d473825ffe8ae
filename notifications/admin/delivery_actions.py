"""The two things that a person may do to deliveries, in words and deeds."""

from functools import partial

from django.db import transaction
from django.utils.translation import gettext_lazy, ngettext

from notifications import clock, partitions, signals
from notifications.admin.confirmation import Confirmed
from notifications.models import Delivery, Notification
from notifications.outcomes import WAITING, DeliveryState


def wake_workers(reopened: list[Delivery]) -> None:
    """Tell on commit that there is work, as ``send()`` does."""
    if not reopened:
        return
    ids = tuple(sorted({row.notification_id for row in reopened}))
    tell = partial(
        signals.notifications_queued.send_robust,
        sender=Notification,
        partition=partitions.current(),
        notification_ids=ids,
    )
    transaction.on_commit(tell, using=reopened[0]._state.db, robust=True)


SEND_AGAIN = Confirmed(
    name="send_again",
    states=(DeliveryState.DEAD, DeliveryState.UNKNOWN),
    change=lambda rows: rows.reopen(),
    question=lambda count: ngettext("Send %d delivery again?", "Send %d deliveries again?", count) % count,
    warning=gettext_lazy(
        "An unknown delivery may have arrived after all: its recipient could then receive it twice. A dead one starts "
        "afresh, with all its tries."
    ),
    refusal=gettext_lazy("Nothing to send again: none of the selected deliveries is dead or unknown."),
    done=lambda count: ngettext("%d delivery will be sent again.", "%d deliveries will be sent again.", count) % count,
    skipped=lambda count: (
        ngettext(
            "%d was skipped, because it is not dead or unknown, or has changed since you were asked.",
            "%d were skipped, because they are not dead or unknown, or have changed since you were asked.",
            count,
        )
        % count
    ),
    logged=gettext_lazy("Sent again."),
    then=wake_workers,
)

CANCEL = Confirmed(
    name="cancel",
    states=WAITING,
    change=lambda rows: rows.cancel(clock.now(rows.db)),
    question=lambda count: ngettext("Cancel %d delivery?", "Cancel %d deliveries?", count) % count,
    warning=gettext_lazy("A cancelled delivery is never sent and cannot be taken up again."),
    refusal=gettext_lazy("Nothing to cancel: none of the selected deliveries is waiting."),
    done=lambda count: ngettext("%d delivery was cancelled.", "%d deliveries were cancelled.", count) % count,
    skipped=lambda count: (
        ngettext(
            "%d was skipped, because it is no longer waiting.",
            "%d were skipped, because they are no longer waiting.",
            count,
        )
        % count
    ),
    logged=gettext_lazy("Cancelled."),
)
