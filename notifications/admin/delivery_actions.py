"""The actions on deliveries: send again and cancel."""

from django.utils.translation import gettext_lazy, ngettext

from notifications.admin.confirmation import ConfirmedAction
from notifications.core import clock
from notifications.outcomes import WAITING
from notifications.sending.resend import RESENDABLE_STATES, reopen, wake_workers

SEND_AGAIN = ConfirmedAction(
    name="send_again",
    states=RESENDABLE_STATES,
    change=lambda rows, person: len(reopen(rows, "sent again in the admin", person)),
    question=lambda count: ngettext("Send %d delivery again?", "Send %d deliveries again?", count) % count,
    warning=gettext_lazy(
        "An unknown delivery may have been received. If you send it again, its recipient may receive it twice. A dead "
        "delivery starts again with all its attempts."
    ),
    refusal=gettext_lazy("Nothing to send again: none of the selected deliveries is dead or unknown."),
    done=lambda count: ngettext("%d delivery will be sent again.", "%d deliveries will be sent again.", count) % count,
    skipped=lambda count: (
        ngettext(
            "%d delivery was skipped, because it is not dead or unknown, or has changed in the meantime.",
            "%d deliveries were skipped, because they are not dead or unknown, or have changed in the meantime.",
            count,
        )
        % count
    ),
    history=gettext_lazy("Sent again."),
    on_changed=wake_workers,
)

CANCEL = ConfirmedAction(
    name="cancel",
    states=WAITING,
    change=lambda rows, person: rows.cancel(clock.now(rows.db)),
    question=lambda count: ngettext("Cancel %d delivery?", "Cancel %d deliveries?", count) % count,
    warning=gettext_lazy("A cancelled delivery is never sent. You cannot undo this."),
    refusal=gettext_lazy("Nothing to cancel: none of the selected deliveries is waiting."),
    done=lambda count: ngettext("%d delivery was cancelled.", "%d deliveries were cancelled.", count) % count,
    skipped=lambda count: (
        ngettext(
            "%d delivery was skipped, because it is no longer waiting.",
            "%d deliveries were skipped, because they are no longer waiting.",
            count,
        )
        % count
    ),
    history=gettext_lazy("Cancelled."),
)
