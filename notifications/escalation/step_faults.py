"""What is wrong with a step whoever is on call: targets that cannot be, and channels without templates.

It needs the database only for templates of staff.
"""

from collections.abc import Iterator
from typing import Any

from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from notifications.conf import get_channel_class
from notifications.delivering.rendering import find_template_errors, get_template_places
from notifications.escalation.targets import expand_targets, parse_address
from notifications.events import NotificationEvent
from notifications.events.escalation import Step
from notifications.exceptions import KlaxonError
from notifications.models import StaffTemplate


def list_target_faults(step: Step) -> Iterator[str]:
    """Yield what is wrong with the targets of a step, as far as it can be known without the database."""
    for text in step.targets:
        try:
            for target in expand_targets([text]):
                if target.kind == "address":
                    parse_address(target.value)
                elif target.kind == "path":
                    import_string(target.value)
        except (KlaxonError, ImportError) as error:
            yield str(error)


def list_template_faults(event: NotificationEvent, step: Step) -> Iterator[str]:
    """Yield what is wrong with the templates of channels that only a policy in the table uses.

    The checks of templates report the channels of the event and of its escalation in the code.
    """
    for name in step.channel_names:
        if name in event.named_channels or _has_staff_template(event, name):
            continue
        try:
            channel: Any = get_channel_class(name)
        except (ImportError, AttributeError):
            continue  # another check reports it
        places = get_template_places(event.name, "", name)
        for fault in find_template_errors(places, channel.required_parts, channel.derived_parts):
            yield _("The event has no template for the channel {channel}. {fault}").format(channel=name, fault=fault)


def _has_staff_template(event: NotificationEvent, channel: str) -> bool:
    rows = StaffTemplate.objects.filter(event=event.name.lower(), channel=channel)
    return rows.exclude(published=None).exists()
