"""An event with buttons, one of which needs a permission."""

from enum import Enum

from notifications.events import InboxAction, NotificationEvent, NotificationPriority, register


class LeaveEvents(Enum):
    REQUESTED = "leave_requested"


def answer(item, user):
    """Do nothing: the item records that the button was pressed."""


register(
    LeaveEvents.REQUESTED,
    NotificationEvent(
        "leave_requested",
        NotificationPriority.MEDIUM,
        ["app"],
        context={},
        actions=[
            InboxAction("approve", "Approve", answer, permission="auth.change_user"),
            InboxAction("discuss", "Discuss", answer),
            "dismiss",
        ],
    ),
)
