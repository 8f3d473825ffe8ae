"""The forms for preferences: the same widgets as in the preference centre. The models validate the contents."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from notifications.core.addresses import mask_url
from notifications.models import SharedPreference, UserSettings
from notifications.models.preferences import normalize_keys
from notifications.preference_centre.widgets.addresses import AddressesField
from notifications.preference_centre.widgets.choices import ChoicesField, merge_rows
from notifications.preference_centre.widgets.inputs import LanguageField, TimeOfDayInput, ZoneInput, add_stored_language
from notifications.preference_centre.widgets.windows import WindowsField


class ChoicesForm(forms.ModelForm):
    """The choices of a user, a role or a cluster."""

    channels = ChoicesField(label=_("Channels"), help_text=_("A channel that is off is off for every event."))
    categories = ChoicesField("category", label=_("Categories"))
    events = ChoicesField("event", label=_("Events"), help_text=_("A choice for an event overrides its category."))

    def clean_categories(self) -> dict[str, Any]:
        return merge_rows(self.instance.categories, self.cleaned_data["categories"])

    def clean_events(self) -> dict[str, Any]:
        return merge_rows(self.instance.events, self.cleaned_data["events"])


class UserSettingsForm(ChoicesForm):
    addresses = AddressesField(label=_("Addresses"), help_text=_("They replace those of the account."))
    delivery_windows = WindowsField(
        label=_("Delivery windows"),
        help_text=_("A window without a day is open on every day. To remove a window, empty its hours."),
    )
    language = LanguageField(label=_("Language"))

    class Meta:
        model = UserSettings
        fields = (
            *("user", "cluster", "channels", "categories", "events", "addresses", "language", "time_zone"),
            *("quiet_from", "quiet_until", "delivery_windows", "digest", "digest_hour", "digest_day"),
        )
        widgets = {"time_zone": ZoneInput, "quiet_from": TimeOfDayInput, "quiet_until": TimeOfDayInput}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        add_stored_language(self, self.instance.language)
        # Staff who may change settings need not know how to post in the name of the site.
        shown = {channel: mask_url(address) for channel, address in self.stored_addresses.items()}
        self.initial["addresses"] = shown

    @property
    def stored_addresses(self) -> dict[str, str]:
        return {channel: str(address or "") for channel, address in normalize_keys(self.instance.addresses).items()}

    def clean_addresses(self) -> dict[str, str]:
        """Return the addresses, with the stored URL where the form still shows the masked one."""
        stored = self.stored_addresses
        entered: dict[str, str] = self.cleaned_data["addresses"]
        return {
            channel: stored[channel] if channel in stored and address == mask_url(stored[channel]) else address
            for channel, address in entered.items()
        }


class SharedPreferenceForm(ChoicesForm):
    class Meta:
        model = SharedPreference
        fields = ("cluster", "group", "rank", "channels", "categories", "events")
