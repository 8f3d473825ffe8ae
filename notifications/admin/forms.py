"""Preferences as text that a person can read and mend."""

import json
from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.forms.fields import InvalidJSONInput
from django.utils.translation import gettext_lazy as _

from notifications import conf
from notifications.context import UNSTORABLE
from notifications.events import NOTIFICATION_EVENTS, NotificationChannel, key_of
from notifications.models import Mute, SharedPreference, UserSettings
from notifications.models.choices import EVERY


class JSONText(forms.JSONField):
    """JSON on several lines. An empty box means "nothing chosen", not null."""

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, InvalidJSONInput):
            return value
        return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) if value else ""

    def clean(self, value: Any) -> Any:
        cleaned = super().clean(value) or {}
        if UNSTORABLE.search(json.dumps(cleaned, ensure_ascii=False)) or "\\u0000" in json.dumps(cleaned):
            raise ValidationError(_("This holds characters that no database stores."))
        return cleaned


def json_text(help_text: Any) -> JSONText:
    box = forms.Textarea({"rows": 5, "cols": 60, "class": "klaxon-json", "spellcheck": "false"})
    return JSONText(required=False, widget=box, help_text=help_text)


class ChoicesForm(forms.ModelForm):
    """The choices of a user, a role or a cluster."""

    channels = json_text(_('The main switches. Example: {"email": false}'))
    events = json_text(_('By event and channel. Example: {"order_shipped": {"email": false}}'))
    categories = json_text(_('By category and channel. Example: {"billing": {"email": false}}'))

    def clean_channels(self) -> Any:
        return self._of_known_channels(self._mapping_to("channels", _is_switch))

    def _of_known_channels(self, channels: dict[str, Any]) -> dict[str, Any]:
        known = {EVERY, *conf.current().enabled_channels, *(channel.value for channel in NotificationChannel)}
        unknown = sorted(name for name in channels if key_of(name) not in known)
        if unknown:
            raise ValidationError(_("There is no channel %(name)s."), params={"name": ", ".join(unknown)})
        return channels

    def clean_events(self) -> Any:
        return self._mapping_to("events", _is_switches)

    def clean_categories(self) -> Any:
        return self._mapping_to("categories", _is_switches)

    def _mapping_to(self, name: str, fits: Callable[[Any], bool]) -> Any:
        value = self.cleaned_data[name]
        if not isinstance(value, dict) or not all(map(fits, value.values())):
            # Written wrongly, a choice would be ignored without a word.
            raise ValidationError(_("This does not have the form of the example."))
        return value


class UserSettingsForm(ChoicesForm):
    addresses = json_text(_('Addresses to use instead of the account’s. Example: {"email": "me@example.com"}'))
    delivery_windows = json_text(
        _('By channel. Example: {"email": [["08:00", "12:00"], ["14:00", "18:00", ["mon", "tue"]]]}')
    )

    class Meta:
        model = UserSettings
        fields = (
            *("user", "cluster", "channels", "events", "categories", "addresses", "language", "time_zone"),
            *("quiet_from", "quiet_until", "delivery_windows", "digest", "digest_hour", "digest_day"),
        )

    def clean_addresses(self) -> Any:
        return self._mapping_to("addresses", lambda value: isinstance(value, str))

    def clean_delivery_windows(self) -> Any:
        return self._of_known_channels(self._mapping_to("delivery_windows", lambda value: isinstance(value, list)))


class SharedPreferenceForm(ChoicesForm):
    class Meta:
        model = SharedPreference
        fields = ("cluster", "group", "rank", "channels", "events", "categories")


class MuteForm(forms.ModelForm):
    class Meta:
        model = Mute
        fields = ("user", "cluster", "kind", "value", "until")

    def clean(self) -> dict[str, Any]:
        """A mute that names nothing there is would never be noticed."""
        cleaned = super().clean() or {}
        value = key_of(cleaned.get("value") or "")
        if cleaned.get("kind") == Mute.Kind.EVENT and NOTIFICATION_EVENTS.named(value) is None:
            self.add_error("value", _("There is no event of this name."))
        if cleaned.get("kind") == Mute.Kind.SENDER and not _is_user(value):
            self.add_error("value", _("There is no user with this key."))
        return cleaned


def _is_user(key: str) -> bool:
    try:
        return get_user_model()._default_manager.filter(pk=key).exists()
    except (ValueError, ValidationError):
        return False


def _is_switch(value: Any) -> bool:
    return isinstance(value, bool)


def _is_switches(value: Any) -> bool:
    return _is_switch(value) or (isinstance(value, dict) and all(map(_is_switch, value.values())))
