"""The form for the hours, the digest and the language of a user."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from notifications.models import UserSettings
from notifications.models.preferences import normalize_keys
from notifications.models.validation import EVERY
from notifications.preference_centre.owner import Owner
from notifications.preference_centre.widgets.inputs import LanguageField, TimeOfDayInput, ZoneInput, add_stored_language
from notifications.preference_centre.widgets.windows import WindowsField, merge_windows

HOURS = [(hour, f"{hour:02}:00") for hour in range(24)]


class ScheduleForm(forms.ModelForm):
    """Quiet hours, delivery windows, digest and language. The model validates them."""

    time_zone = forms.CharField(label=_("Time zone"), required=False, max_length=64, widget=ZoneInput)
    language = LanguageField(label=_("Language"))
    digest_hour = forms.TypedChoiceField(label=_("Hour of the digest"), choices=HOURS, coerce=int)
    delivery_windows = WindowsField(label=_("Delivery windows"))

    class Meta:
        model = UserSettings
        fields = (
            *("language", "time_zone", "quiet_from", "quiet_until", "digest", "digest_hour", "digest_day"),
            "delivery_windows",
        )
        widgets = {"quiet_from": TimeOfDayInput, "quiet_until": TimeOfDayInput}

    def __init__(self, owner: Owner, instance: UserSettings, data: Any = None) -> None:
        super().__init__(data, instance=instance)
        stored = normalize_keys(instance.delivery_windows)
        # Through a link, only the windows of its channel are shown and changed.
        self.channels = (*owner.channels, *((EVERY,) if owner.may_change_addresses else ()))
        self.initial["delivery_windows"] = {name: stored[name] for name in self.channels if name in stored}
        self.fields["delivery_windows"].widget.channels = self.channels
        add_stored_language(self, instance.language)

    def clean_delivery_windows(self) -> dict[str, Any]:
        entered = self.cleaned_data["delivery_windows"]
        return merge_windows(self.instance.delivery_windows, entered, self.channels)
