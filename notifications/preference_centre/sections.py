"""What the forms of the page do. Each function handles the form of one section, and returns whether it was saved.

A form that is not saved leaves its errors or its preview on the page.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import router, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from notifications.explain.steps import get_recipient_zone
from notifications.models import UserSettings
from notifications.preference_centre.addresses import remove_address, request_address, withdraw_request
from notifications.preference_centre.cells import Place
from notifications.preference_centre.forecast import make_forecast
from notifications.preference_centre.matrix import find_changes
from notifications.preference_centre.mutes import delete_mute
from notifications.preference_centre.on_request import send_test_message
from notifications.preference_centre.owner import Standing, lock_settings
from notifications.preference_centre.page import Page
from notifications.preference_centre.schedule import ScheduleForm
from notifications.preference_centre.topics import follow_topic
from notifications.preference_centre.widgets.choices import WANTED, Choice
from notifications.unsubscribe.changes import repeat_once

PREVIEW = "preview"
Handler = Callable[[Page, Any, Callable[[str], str]], bool]
"""A function from a page, the data of a form, and a function that makes the URL for a token. It returns whether the
form was saved."""


def save_choices(page: Page, data: Any, make_url: Callable[[str], str]) -> bool:
    """Save the choices of a part of the matrix, or show what they would do."""
    changes = list(find_changes(page.build_stored_matrix(), data, _read_shown(data.get("shown", ""))))
    if data.get("do") == PREVIEW:
        settings = page.copy_settings()
        _apply_choices(settings, changes)
        show_preview(page, "choices", page.standing.with_settings(settings))
        return False
    if changes:
        _write_settings(page, lambda settings: _apply_choices(settings, changes))
    return True


def _apply_choices(settings: UserSettings, changes: list[tuple[Place, Choice]]) -> bool:
    for place, choice in changes:
        place.set_choice(settings, WANTED[choice])
    return True


def _read_shown(text: str) -> Mapping[str, str]:
    try:
        shown = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return shown if isinstance(shown, dict) else {}


def save_schedule(page: Page, data: Any, make_url: Callable[[str], str]) -> bool:
    """Save hours, digest and language, or show what they would do."""
    form = ScheduleForm(page.owner, page.copy_settings(), data)
    page.entered["schedule"] = form
    if not form.is_valid():
        return False
    if data.get("do") == PREVIEW:
        show_preview(page, "schedule", page.standing.with_settings(form.instance))
        return False
    return _write_settings(page, lambda settings: _fill_schedule(page, settings, data))


def _fill_schedule(page: Page, settings: UserSettings, data: Any) -> bool:
    """Validate the form again with the locked settings, which may have changed since."""
    form = page.entered["schedule"] = ScheduleForm(page.owner, settings, data)
    return form.is_valid()


def _write_settings(page: Page, change: Callable[[UserSettings], bool]) -> bool:
    using = router.db_for_write(UserSettings)
    saved = []

    def write() -> None:
        settings = lock_settings(page.owner, using)
        saved.append(change(settings))
        if saved[-1]:
            settings.save(using=using, by=page.owner.user)

    with transaction.atomic(using=using):
        repeat_once(write, using)
    return bool(saved[-1])


def show_preview(page: Page, section: str, after: Standing) -> None:
    """Let the page show what a change would do."""
    page.preview, page.previewed_section = after, section
    page.forecast = make_forecast(page.owner, page.standing, after)


def change_topic(page: Page, data: Any, make_url: Callable[[str], str]) -> bool:
    """Follow a topic, or no longer follow it."""
    if follow_topic(page.owner, data.get("topic", ""), data.get("do") == "follow"):
        return True
    page.errors["topics"] = _("This topic is not available.")
    return False


def change_mutes(page: Page, data: Any, make_url: Callable[[str], str]) -> bool:
    """End a mute, or add one, or show what it would do."""
    if data.get("do") == "end":
        if data.get("mute", "").isdecimal():
            delete_mute(page.owner, int(data["mute"]))
        return True
    form = page.build_mute_form(data)
    page.entered["mutes"] = form
    # The end of a mute is entered in the time zone of the user.
    with timezone.override(get_recipient_zone(page.standing.person)):
        is_valid = form.is_valid()
    if not is_valid:
        return False
    if data.get("do") == PREVIEW:
        show_preview(page, "mutes", page.standing.with_mute(form.build_mute()))
        return False
    form.save()
    return True


def change_address(page: Page, data: Any, make_url: Callable[[str], str]) -> bool:
    """Ask for the confirmation of a new address, withdraw this request, or return to the account's address."""
    channel = data.get("channel", "")
    if not any(row.channel == channel and row.can_change for row in page.addresses):
        page.errors["addresses"] = _("The address for this channel cannot be changed here.")
        return False
    if data.get("do") in ("withdraw", "remove"):
        {"withdraw": withdraw_request, "remove": remove_address}[data["do"]](page.owner, channel)
        return True
    try:
        refusal = request_address(page.owner, channel, data.get("address", "").strip(), make_url)
    except ValidationError as error:
        refusal = " ".join(error.messages)
    if refusal:
        page.errors["addresses"] = refusal
    return not refusal


def send_test(page: Page, data: Any, make_url: Callable[[str], str]) -> bool:
    """Send a test message on a channel."""
    channel = data.get("channel", "")
    if not any(row.channel == channel and row.can_test for row in page.addresses):
        page.errors["addresses"] = _("No test message can be sent on this channel.")
        return False
    refusal = send_test_message(page.standing.person.user, page.owner.cluster, channel)
    if refusal:
        page.errors["addresses"] = refusal
    return not refusal


# By section: what handles its forms, and whether it changes the settings, which the site may keep elsewhere.
HANDLERS: Mapping[str, tuple[Handler, bool]] = {
    "choices": (save_choices, True),
    "schedule": (save_schedule, True),
    "addresses": (change_address, True),
    "topics": (change_topic, False),
    "mutes": (change_mutes, True),
    "test": (send_test, False),
}
