"""Who the operators are, and on which channels an alarm can reach them now."""

from datetime import datetime
from typing import Any

from django.core.exceptions import ImproperlyConfigured, ObjectDoesNotExist
from django.db import transaction
from django.utils.module_loading import import_string

from notifications import conf
from notifications.conf import get_address_kind
from notifications.delivering.providers.choice import list_providers
from notifications.escalation.targets import RESOLVERS, expand_targets, find_recipient_fault
from notifications.events import NotificationEvent
from notifications.events.escalation import Target
from notifications.models import Circuit, Pause, cluster_or_default, get_cluster_model
from notifications.models.pause import EVERYTHING


def get_cluster() -> Any:
    """Return the cluster in which alarms are sent: that of ``ALARM["CLUSTER"]``, or else the default one.

    :raises ImproperlyConfigured: if there is none.
    """
    key, model = conf.current().get_alarm_option("CLUSTER"), get_cluster_model()
    if key is None:
        return cluster_or_default(None)
    try:
        return model._default_manager.get(pk=key)
    except (ObjectDoesNotExist, ValueError, TypeError) as error:
        raise ImproperlyConfigured(
            f"NOTIFICATIONS['ALARM']['CLUSTER'] is {key!r:.80}, but there is no such cluster. Set it to the primary "
            "key of a cluster of which the operators are members."
        ) from error


def find_operators(cluster: Any, now: datetime, using: str) -> tuple[list[Any], list[str]]:
    """Return the recipients of ``OPERATORS``, and the reasons why some of its targets are nobody.

    Each target has a savepoint, because a function of the site may break the transaction.
    """
    recipients: list[Any] = []
    faults: list[str] = []
    for text in conf.current().operators:
        try:
            with transaction.atomic(using=using):
                found = [one for target in expand_targets([text]) for one in _resolve(target, cluster, now)]
        except Exception as error:  # noqa: BLE001 - the function of a site may fail in any way; it is reported
            faults.append(f"{text}: {type(error).__name__}: {error}"[:500])
            continue
        for recipient in found:
            # send() would refuse the others as well.
            if fault := find_recipient_fault(recipient, cluster):
                faults.append(f"{text}: {fault}"[:500])
            else:
                recipients.append(recipient)
    return recipients, faults


def _resolve(target: Target, cluster: Any, now: Any) -> list[Any]:
    if target.kind != "path":
        return [RESOLVERS[target.kind](target.value, cluster, now)]
    found = import_string(target.value)(cluster)
    if found is None:
        raise LookupError(f"{target.value}() has returned nobody.")
    return list(found) if isinstance(found, list | tuple | set | frozenset) else [found]


def list_working_channels(event: NotificationEvent, using: str, now: datetime) -> list[str]:
    """Return the channels that can send an alarm now: not paused, and with a provider whose circuit is not open.

    A half-open circuit is no obstacle: the alarm is what tries the provider, and without other messages, nothing does.
    """
    chosen = [name.lower() for name in conf.current().get_alarm_option("CHANNELS")]
    paused = Pause.objects.using(using).channel_names()
    broken = set(Circuit.objects.using(using).filter(open_until__gt=now).values_list("key", flat=True))
    return [
        name
        for name in event.channels
        if name in conf.current().enabled_channels
        and (not chosen or name in chosen)
        and get_address_kind(name)
        and not {name, EVERYTHING} & paused
        and any(provider.key not in broken for provider in list_providers(name))
    ]
