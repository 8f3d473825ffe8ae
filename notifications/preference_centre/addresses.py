"""Addresses of a user: their own, that of the account, and new ones that wait for their confirmation.

A new address is used only after somebody who reads its messages has opened the link and pressed a button.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import router, transaction
from django.utils.translation import gettext as _

from notifications.core import clock
from notifications.core.tokens import make_token, read_token
from notifications.events import BuiltInEvents
from notifications.models import AddressConfirmation, UserSettings
from notifications.models.preferences import normalize_keys
from notifications.preference_centre.on_request import is_available, send_confirmation
from notifications.preference_centre.owner import Owner, Standing, lock_settings
from notifications.preference_centre.widgets.addresses import get_input_type
from notifications.preference_centre.widgets.names import get_channel_name
from notifications.sending.gates.facts import get_account_address
from notifications.unsubscribe.changes import repeat_once

PURPOSE = "address confirmation"
MAX_REQUESTS_PER_HOUR = 5
MAX_LENGTH = 500


@dataclass(frozen=True)
class AddressRow:
    """The address of a channel.

    :param address: the address that notifications use; empty if there is none.
    :param is_own: whether the user has chosen it; otherwise it is that of the account.
    :param has_account_address: whether notifications use the account's address if the user removes their own.
    :param pending: the request that waits for its confirmation.
    """

    channel: str
    label: str
    input_type: str
    address: str
    is_own: bool
    has_account_address: bool
    pending: AddressConfirmation | None
    can_change: bool
    can_test: bool


def list_addresses(owner: Owner, standing: Standing) -> list[AddressRow]:
    """Return the channels of an owner, each with its address. Takes one query."""
    waiting = AddressConfirmation.objects.of(owner.user, owner.cluster).waiting(standing.now)
    pending = {row.channel: row for row in waiting} if owner.may_change_addresses else {}
    return [_build_row(owner, standing, channel, pending.get(channel)) for channel in owner.channels]


def _build_row(owner: Owner, standing: Standing, channel: str, pending: AddressConfirmation | None) -> AddressRow:
    kind = standing.kinds[channel]
    own = standing.settings.address_for(channel) if standing.settings else ""
    sends_to_address = kind != "user"
    address = standing.addresses[channel].address if sends_to_address else ""
    return AddressRow(
        channel,
        get_channel_name(channel),
        get_input_type(channel),
        address,
        bool(own) and address == own,
        sends_to_address and bool(get_account_address(standing.person.user, kind)),
        pending,
        owner.may_change_addresses and sends_to_address and is_available(BuiltInEvents.ADDRESS_CONFIRMATION, channel),
        is_available(BuiltInEvents.TEST_MESSAGE, channel),
    )


def request_address(owner: Owner, channel: str, address: str, make_url: Callable[[str], str]) -> str:
    """Send the link that confirms a new address; return why this is not possible, or an empty text.

    :param make_url: a function from a token to the absolute URL of the page that confirms it.
    :raises ValidationError: if the address is unusable, or the user has asked too often within an hour.
    """
    if not 0 < len(address) <= MAX_LENGTH:
        raise ValidationError(_("Enter an address of at most %(length)d characters.") % {"length": MAX_LENGTH})
    for fault in UserSettings(addresses={channel: address}).find_malformed_columns():
        raise fault.error
    using = router.db_for_write(AddressConfirmation)
    now = clock.now(using)
    with transaction.atomic(using=using):
        rows = AddressConfirmation.objects.using(using)
        recent = rows.filter(user=owner.user, requested_at__gt=now - timedelta(hours=1))
        if recent.count() >= MAX_REQUESTS_PER_HOUR:
            raise ValidationError(_("You have asked for too many confirmations. Try again in an hour."))
        withdraw_request(owner, channel)
        row = rows.create(user=owner.user, cluster=owner.cluster, channel=channel, address=address, requested_at=now)
        return send_confirmation(owner.cluster, channel, address, make_url(make_token(PURPOSE, row.pk)))


def withdraw_request(owner: Owner, channel: str) -> None:
    """Make the links invalid that wait for the confirmation of an address for a channel."""
    rows = AddressConfirmation.objects.of(owner.user, owner.cluster)
    rows.filter(channel=channel, is_open=True).update(is_open=False)


def find_request(token: str) -> AddressConfirmation | None:
    """Return the request that a token confirms; None if it is invalid, has expired, or was withdrawn."""
    numbers = read_token(PURPOSE, token, 1)
    if numbers is None:
        return None
    using = router.db_for_write(AddressConfirmation)
    rows = AddressConfirmation.objects.using(using).waiting(clock.now(using))
    found = rows.select_related("user", "cluster").filter(pk=numbers[0]).first()
    return found if found is not None and found.user.is_active else None


def confirm_address(request: AddressConfirmation, now: datetime) -> bool:
    """Use the address of a request from now on; return whether it was still open."""
    using = router.db_for_write(UserSettings)
    owner = Owner.signed_in(request.user, request.cluster)
    with transaction.atomic(using=using):
        rows = AddressConfirmation.objects.using(using).waiting(now).filter(pk=request.pk)
        if not rows.order_by().update(confirmed_at=now):
            return False
        repeat_once(lambda: _write_address(owner, request.channel, request.address, using), using)
    return True


def remove_address(owner: Owner, channel: str) -> None:
    """Remove the user's own address for a channel, so that that of the account is used."""
    using = router.db_for_write(UserSettings)
    with transaction.atomic(using=using):
        repeat_once(lambda: _write_address(owner, channel, "", using), using)


def _write_address(owner: Owner, channel: str, address: str, using: str) -> None:
    settings: Any = lock_settings(owner, using)
    addresses = {**normalize_keys(settings.addresses), channel: address}
    settings.addresses = {name: value for name, value in addresses.items() if value}
    settings.save(using=using, by=owner.user)


def delete_expired(now: datetime, should_stop: Callable[[], bool]) -> None:
    """Delete the requests that can no longer be confirmed."""
    AddressConfirmation.objects.using(router.db_for_write(AddressConfirmation)).delete_expired(now)
