"""Turns things off and on for a recipient, in Klaxon's tables or in those of the site."""

from collections.abc import Callable
from typing import Any

from django.db import IntegrityError, router, transaction

from notifications import signals
from notifications.core.databases import get_current_partition, read_from_primary
from notifications.models import Mute, UserSettings
from notifications.models.preferences import expand_channels, get_choice, normalize_keys
from notifications.preferences import make_preference_source
from notifications.unsubscribe.subscription import CurrentChoices, Scope, Subscription, list_events

COLUMNS = ("channels", "events", "categories")


class PreferenceNotChanged(Exception):
    """The recipient would still get what they have turned off."""


@read_from_primary()
def set_wanted(subscription: Subscription, scope: Scope, wanted: bool) -> None:
    """Turn a scope off or on for a recipient.

    What is queued already is dropped too, because the worker reads the preferences again before it sends. An opt-out is
    also stored if the recipient's role or the cluster has turned it off, because they may turn it on again.

    :raises PreferenceNotChanged: if the class that ``PREFERENCES`` names does not use the change.
    """
    was_on = CurrentChoices(subscription).is_on(scope)
    if was_on and wanted:
        return
    using = router.db_for_write(UserSettings)
    with transaction.atomic(using=using):
        _write(subscription, scope, wanted, using)
        if CurrentChoices(subscription).is_on(scope) and not wanted:
            raise PreferenceNotChanged(
                f"User {subscription.user.pk} has turned off {scope} {subscription.get_name(scope)!r} on the channel "
                f"{subscription.channel!r}, but NOTIFICATIONS['PREFERENCES'] does not return this change. Give its "
                "class a method set_wanted(cluster, user, scope, name, channel, wanted)."
            )
        if was_on and not wanted:
            transaction.on_commit(lambda: _send_signal(subscription, scope), using=using)


def _send_signal(subscription: Subscription, scope: Scope) -> None:
    signals.recipient_unsubscribed.send_robust(
        sender=UserSettings,
        partition=get_current_partition(),
        user=subscription.user,
        cluster=subscription.cluster,
        channel=subscription.channel,
        scope=str(scope),
        name=subscription.get_name(scope),
        notification_id=subscription.notification_id,
    )


def _write(subscription: Subscription, scope: Scope, wanted: bool, using: str) -> None:
    write = getattr(make_preference_source(), "set_wanted", None)
    if write is not None:
        name = subscription.get_name(scope)
        write(subscription.cluster, subscription.user, str(scope), name, subscription.channel, wanted)
        return
    if scope is Scope.TOPIC:
        repeat_once(lambda: _write_mute(subscription, wanted, using), using)
        return
    # The user's own choice is removed, so that those of their roles and of the cluster apply as before.
    repeat_once(lambda: _write_settings(subscription, scope, None if wanted else False, using), using)
    if wanted and not CurrentChoices(subscription).is_on(scope):
        _write_settings(subscription, scope, True, using)


def repeat_once(write: Callable[[], None], using: str) -> None:
    """Call a function, and again if two clicks at the same time have both tried to create a row."""
    try:
        with transaction.atomic(using=using):
            write()
    except IntegrityError:
        write()


def _write_mute(subscription: Subscription, wanted: bool, using: str) -> None:
    owner = {"user": subscription.user, "cluster": subscription.cluster}
    mute = {**owner, "kind": Mute.Kind.TOPIC, "value": subscription.topic}
    if wanted:
        Mute.objects.using(using).filter(**mute).delete(by=subscription.user)
        return
    row = Mute.objects.using(using).select_for_update().filter(**mute).first() or Mute(**mute)
    if row.pk is None or row.until is not None:
        row.until = None
        row.save(using=using, by=subscription.user)


def _write_settings(subscription: Subscription, scope: Scope, choice: bool | None, using: str) -> None:
    owner = {"user": subscription.user, "cluster": subscription.cluster}
    settings = UserSettings.objects.using(using).select_for_update().filter(**owner).first() or UserSettings(**owner)
    stored = [getattr(settings, column) for column in COLUMNS]
    for column in COLUMNS:
        setattr(settings, column, normalize_keys(getattr(settings, column)))
    _change_settings(settings, subscription, scope, choice)
    if [getattr(settings, column) for column in COLUMNS] != stored:
        settings.save(using=using, by=subscription.user)


def _change_settings(settings: UserSettings, subscription: Subscription, scope: Scope, choice: bool | None) -> None:
    channel = subscription.channel
    if scope is Scope.ALL:
        put_value(settings.channels, channel, choice)
    if scope is Scope.CATEGORY:
        put_choice(settings.categories, subscription.category, channel, choice)
    for name in list_events(subscription, scope):
        # A choice for an event overrides the one for its category.
        if scope is not Scope.CATEGORY or _contradicts(settings, name, subscription, choice):
            put_choice(settings.events, name, channel, choice)


def _contradicts(settings: UserSettings, name: str, subscription: Subscription, choice: bool | None) -> bool:
    found = settings.find_choice(name, subscription.category, subscription.channel)
    return found is not None and found[0] is (choice is False)


def put_choice(choices: dict[str, Any], key: str, channel: str, choice: bool | None) -> None:
    """Set or remove the choice for an event or category on a channel. Other channels are not changed."""
    values = dict(expand_channels(choices.get(key) if choice is None else get_choice(choices, key)))
    put_value(values, channel, choice)
    put_value(choices, key, values or None)


def put_value(values: dict[str, Any], key: str, value: Any) -> None:
    if value is None:
        values.pop(key, None)
    else:
        values[key] = value
