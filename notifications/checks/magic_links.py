"""Checks of magic links: whether they can be encrypted, sent and opened."""

from collections.abc import Iterator

from django.core.checks import CheckMessage, Error

from notifications import conf
from notifications.checks.channels import missing_extra_error
from notifications.core import extras
from notifications.core.encryption import check_encryption
from notifications.exceptions import EncryptionUnavailable
from notifications.magic_links.send import find_link_faults


def check_magic_links() -> Iterator[CheckMessage]:
    """Report what magic links lack, if the site has switched them on."""
    if not conf.current().magic_links:
        return
    feature = "NOTIFICATIONS['MAGIC_LINKS']"
    if not extras.is_installed("cryptography"):
        yield missing_extra_error(feature, "cryptography", "encryption")
        return
    try:
        check_encryption()
    except EncryptionUnavailable as error:
        sentence, hint = str(error).split(". ", 1)
        yield _link_error(sentence, hint)
    for fault, hint in find_link_faults():
        yield _link_error(fault, hint)


def _link_error(fault: str, hint: str) -> CheckMessage:
    return Error(f"Magic links cannot work: {fault}.", hint=hint, id="klaxon.E035")
