"""Encrypt stored content again with the first key, so that older keys can be removed from the settings.

Content of events that have become sensitive, but was stored before, is encrypted too.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from typing import Any

from django.db import models, transaction
from django.db.models import Q

from notifications import conf
from notifications.context import decrypt_context, encrypt_context, is_encrypted
from notifications.context.encryption import TAG
from notifications.core.encryption import SEPARATOR, get_current_key_id, get_token_key_id
from notifications.events import NOTIFICATION_EVENTS
from notifications.exceptions import DecryptionFailed, SpoolDamaged
from notifications.models import InboxItem, Notification, WebhookEndpoint
from notifications.models.webhook_endpoint import reveal_secret, seal_secret
from notifications.spool.files import Segment, Spool

Rows = models.QuerySet[Any]
ENCRYPTED_FIELDS: Mapping[type[models.Model], list[str]] = {
    Notification: ["context"],
    InboxItem: ["title", "body", "encrypted"],
    WebhookEndpoint: ["secret", "previous_secret"],
}


def get_outdated(using: str) -> list[Rows]:
    """Return the notifications, inbox items and webhook endpoints that are not encrypted with the first key.

    Of notifications and items, it returns those that should be encrypted.

    :raises EncryptionUnavailable: if the site has no key.
    """
    prefix = f"{get_current_key_id()}{SEPARATOR}"
    names = [event.name for event in NOTIFICATION_EVENTS.values() if event.sensitive]
    # A JSON key that does not exist is NULL, and NOT of a comparison with NULL is not true.
    is_plain = Q(event__in=names) & ~Q(context__has_key=TAG)
    is_older = Q(context__has_key=TAG) & ~Q(**{f"context__{TAG}__startswith": prefix})
    notifications = Notification.objects.using(using).filter(is_plain | is_older).only("pk", "event", "context")
    items = InboxItem.objects.using(using).only("pk", "event", "title", "body", "encrypted")
    return [
        notifications,
        items.filter(Q(event__in=names, encrypted="") | ~Q(encrypted="") & ~Q(encrypted__startswith=prefix)),
        WebhookEndpoint.objects.using(using).filter(
            ~Q(secret__startswith=prefix) | ~Q(previous_secret="") & ~Q(previous_secret__startswith=prefix)
        ),
    ]


def reencrypt(rows: Rows, chunk_size: int, advance: Callable[[int], None]) -> int:
    """Encrypt rows with the first key, each chunk in a transaction. Return how many cannot be decrypted.

    It can be stopped and started again at any time.

    :param rows: one of the querysets of :func:`get_outdated`.
    :param advance: called with the number of rows of each chunk.
    """
    failed, last = 0, 0
    while True:
        with transaction.atomic(using=rows.db):
            chunk = list(rows.filter(pk__gt=last).order_by("pk").select_for_update()[:chunk_size])
            if not chunk:
                return failed
            changed = [row for row in chunk if _reencrypt_row(row)]
            rows.model._base_manager.using(rows.db).bulk_update(changed, ENCRYPTED_FIELDS[rows.model])
        failed += len(chunk) - len(changed)
        last = chunk[-1].pk
        advance(len(chunk))


def _reencrypt_row(row: Any) -> bool:
    """Encrypt a row with the first key, without saving it. Return False if it cannot be decrypted."""
    try:
        if isinstance(row, Notification):
            row.context = encrypt_context(decrypt_context(row.context))
        elif isinstance(row, WebhookEndpoint):
            row.secret = seal_secret(reveal_secret(row.secret))
            row.previous_secret = seal_secret(reveal_secret(row.previous_secret))
        else:
            _reencrypt_item(row)
    except DecryptionFailed:
        return False
    return True


def _reencrypt_item(item: InboxItem) -> None:
    event = NOTIFICATION_EVENTS.named(item.event)
    label = item.title if item.encrypted or event is None else event.words
    item.title, item.body = item.reveal()
    item.encrypt(label)


def count_spooled() -> int:
    """Return the number of spooled calls of sensitive events that are not encrypted with the first key.

    They keep their key until they are replayed, because the lines of a spool never change.
    """
    folder = conf.current().spool_dir
    return sum(map(_is_outdated, _iterate_records(Spool(folder)))) if folder else 0


def _iterate_records(spool: Spool) -> Iterator[Mapping[str, Any]]:
    """Yield the calls of a spool, also those that were rejected."""
    rejected = Segment(spool.rejected) if spool.rejected.exists() else ()
    for line in chain(spool.read_lines(), rejected):
        with suppress(SpoolDamaged):  # replay_spool reports it
            yield line.parse()


def _is_outdated(record: Mapping[str, Any]) -> bool:
    context = record["context"]
    if is_encrypted(context):
        return get_token_key_id(context[TAG]) != get_current_key_id()
    event = NOTIFICATION_EVENTS.named(record["event"])
    return event is not None and event.sensitive
