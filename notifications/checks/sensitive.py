"""Checks of sensitive events: whether their content can be encrypted, and whether links to it work."""

from collections.abc import Iterator

from django.core.checks import CheckMessage, Error

from notifications import conf
from notifications.checks.channels import missing_extra_error
from notifications.checks.site_urls import find_path
from notifications.core import extras
from notifications.core.encryption import check_encryption
from notifications.delivering.rendering.sensitive import PAGE, find_page_fault
from notifications.events import NOTIFICATION_EVENTS, BuiltInEvents
from notifications.exceptions import EncryptionUnavailable


def check_sensitive_events() -> Iterator[CheckMessage]:
    events = [
        event
        for member, event in NOTIFICATION_EVENTS.items()
        # check_magic_links() reports what this built-in event needs, if the site uses it.
        if event.sensitive and member is not BuiltInEvents.MAGIC_LINK
    ]
    if not events:
        return
    feature = f"The sensitive event {events[0].name!r}"
    if not extras.is_installed("cryptography"):
        yield missing_extra_error(feature, "cryptography", "encryption")
        return
    try:
        check_encryption()
    except EncryptionUnavailable as error:
        sentence, hint = str(error).split(". ", 1)
        yield Error(f"{feature} cannot be sent: {sentence}.", hint=hint, id="klaxon.E022")
    if fault := find_page_fault(
        find_path(PAGE, 1), conf.current().base_url or conf.current().theme.get("base_url", "")
    ):
        sentence, hint = fault.split(". ", 1)
        yield Error(f"{feature} cannot be read: {sentence}.", hint=hint, id="klaxon.E023")
