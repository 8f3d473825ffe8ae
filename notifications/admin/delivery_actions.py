"""The two things that a person may do to deliveries, in words and deeds."""

from django.utils.translation import gettext_lazy, ngettext

from notifications.admin.confirmation import Confirmed
from notifications.core import clock
from notifications.outcomes import WAITING
from notifications.sending.resend import RESENDABLE_STATES, reopen, wake_workers

SEND_AGAIN = Confirmed(
    name="send_again",
    states=RESENDABLE_STATES,
    change=lambda rows, person: len(reopen(rows, "sent again in the admin", person)),
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
    change=lambda rows, person: rows.cancel(clock.now(rows.db)),
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
