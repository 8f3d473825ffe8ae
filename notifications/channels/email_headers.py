"""The headers of an email that mail programs and mailbox providers read: its id, its thread, its list and the link
that unsubscribes from it.

There is no ``Precedence``, which RFC 2076 discourages; ``Auto-Submitted`` (RFC 3834) prevents automatic replies.
"""

import hashlib
import re
from email.policy import Policy
from functools import lru_cache
from typing import Any

from notifications.models import Delivery, Notification

# RFC 8058, 3.1.
ONE_CLICK = "List-Unsubscribe=One-Click"
NOT_IN_LABEL = re.compile(r"[^A-Za-z0-9_-]+")
# RFC 2919, 6.
MAX_LIST_ID_LENGTH = 255
# Gmail ignores a Feedback-ID whose last field is shorter or longer.
MIN_SENDER_ID_LENGTH, MAX_SENDER_ID_LENGTH = 5, 15


class UnfoldedHeader(str):
    """A header value that stays on one line.

    Python's email policies encode a long value without spaces as RFC 2047 words. Mail programs cannot read ids and
    URLs in that form, and RFC 5322 and RFC 2369 do not allow it. The policies use a value with a ``name`` and a
    ``fold()`` as it is, so the value is checked here.

    :raises ValueError: if the value contains a line end or another control character, or is not ASCII.
    """

    name: str

    def __new__(cls, value: str, name: str = "") -> "UnfoldedHeader":
        # Of ASCII, these are all characters except the control characters.
        if not (value.isascii() and value.isprintable()):
            raise ValueError(f"The header {name} must be ASCII without control characters, not {value!r:.200}.")
        header = super().__new__(cls, value)
        header.name = name
        return header

    def fold(self, *, policy: Policy) -> str:
        return f"{self.name}: {self}{policy.linesep}"


def build_headers(delivery: Delivery, domain: str, unsubscribe_url: str = "", feedback_id: str = "") -> dict[str, str]:
    """Return the headers of an email, the same ones for each attempt of an epoch.

    :param domain: the domain of the sender, in ASCII.
    :param unsubscribe_url: the page where the recipient turns the event off; empty if they cannot.
    :param feedback_id: the last field of ``Feedback-ID``; by default, it is made from the domain.
    """
    notification = delivery.notification
    headers: dict[str, str] = {
        "Message-ID": _build_message_id(delivery, domain),
        "References": _build_thread_id(notification, domain),
        "Auto-Submitted": "auto-generated",
        "List-Id": _build_list_id(notification.event, str(notification.cluster_id), domain),
        "Feedback-ID": _build_feedback_id(
            notification.campaign, str(notification.cluster_id), notification.event, feedback_id or domain
        ),
    }
    if unsubscribe_url:
        headers["List-Unsubscribe"] = UnfoldedHeader(f"<{unsubscribe_url}>", "List-Unsubscribe")
        # RFC 8058 allows one click only over HTTPS.
        if unsubscribe_url.startswith("https://"):
            headers["List-Unsubscribe-Post"] = ONE_CLICK
    return headers


def _build_message_id(delivery: Delivery, domain: str) -> UnfoldedHeader:
    """Return an id that is the same for each attempt of an epoch, so that a mailbox can detect repeats (RFC 5322,
    3.6.4)."""
    notification, key = delivery.notification, delivery.idempotency_key
    # With the time, because a database that is created anew begins with the same keys.
    created_at = notification.created_at.timestamp() if notification.created_at else ""
    digest = _hash(f"{notification.correlation_id}:{created_at}:{key}")
    return UnfoldedHeader(f"<{digest}.{key}@{domain}>", "Message-ID")


def _build_thread_id(notification: Notification, domain: str) -> UnfoldedHeader:
    """Return the id that all emails of a thread refer to. It is not the id of an email.

    The thread is that of the topic or, without a topic, of the correlation id.
    """
    kind, name = ("topic", notification.topic) if notification.topic else ("correlation", notification.correlation_id)
    return UnfoldedHeader(f"<thread.{_hash(f'{notification.cluster_id}:{kind}:{name}')}@{domain}>", "References")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@lru_cache(maxsize=1000)
def _build_list_id(event: str, cluster_key: str, domain: str) -> UnfoldedHeader:
    """Return the id of the list that an event is in a cluster (RFC 2919)."""
    list_id = ".".join([_to_label(event), f"c{_to_label(cluster_key)}", *map(_to_label, domain.strip("[]").split("."))])
    return UnfoldedHeader(f"<{list_id[-MAX_LIST_ID_LENGTH:].lstrip('.')}>", "List-Id")


@lru_cache(maxsize=1000)
def _build_feedback_id(campaign: str, cluster_key: str, event: str, sender: str) -> UnfoldedHeader:
    """Return the campaign, the cluster, the event and the sender, by which Gmail counts complaints."""
    groups = [campaign, f"c{cluster_key}", event]
    fields = [*(_to_label(group) for group in groups if group), _to_sender_id(sender)]
    return UnfoldedHeader(":".join(fields), "Feedback-ID")


def _to_sender_id(sender: str) -> str:
    label = _to_label(sender)
    is_allowed = MIN_SENDER_ID_LENGTH <= len(label) <= MAX_SENDER_ID_LENGTH
    return label if is_allowed else _hash(sender)[:MAX_SENDER_ID_LENGTH]


def _to_label(text: Any) -> str:
    """Return a text as a word of ASCII letters, digits, hyphens and underscores."""
    return NOT_IN_LABEL.sub("-", str(text))[:100]
