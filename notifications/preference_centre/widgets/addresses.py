"""Addresses by channel: a text field for each channel that sends to addresses."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from django import forms

from notifications.models.preferences import normalize_keys
from notifications.models.validation import find_address_kind
from notifications.preference_centre.widgets.names import get_channel_name, list_channels

INPUT_TYPES: Mapping[str, str] = {
    "email": "email",
    "phone": "tel",
    **dict.fromkeys(("url", "slack", "discord", "teams"), "url"),
}


class AddressRow(NamedTuple):
    """A text field for the address of a channel."""

    name: str
    label: str
    input_type: str
    address: str


def get_input_type(channel: str) -> str:
    """Return the type of an HTML input for addresses of a channel."""
    return INPUT_TYPES.get(find_address_kind(channel) or "", "text")


def list_addressed_channels() -> list[str]:
    """Return the channels of the site that send to an address, and not to an account."""
    return [name for name in list_channels() if find_address_kind(name) not in (None, "", "user")]


class AddressesWidget(forms.Widget):
    """Text fields for the addresses that replace those of the account, and for stored ones of removed channels."""

    template_name = "notifications/preference_centre/widgets/addresses.html"

    class Media:
        css = {"all": ["notifications/preferences.css"]}

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        stored = normalize_keys(value)
        context["widget"]["rows"] = [
            AddressRow(f"{name}:{key}", get_channel_name(key), get_input_type(key), str(stored.get(key) or ""))
            for key in dict.fromkeys([*list_addressed_channels(), *stored])
        ]
        return context

    def value_from_datadict(self, data: Any, files: Any, name: str) -> dict[str, str]:
        prefix = f"{name}:"
        entered = {key.removeprefix(prefix): data.get(key).strip() for key in data if key.startswith(prefix)}
        return {channel: address for channel, address in entered.items() if address}

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return not any(key.startswith(f"{name}:") for key in data)

    def id_for_label(self, id_: str) -> str:
        return ""


class AddressesField(forms.Field):
    """Addresses by channel."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"required": False, "widget": AddressesWidget(), **options})

    def clean(self, value: Any) -> Any:
        return super().clean(value) or {}
