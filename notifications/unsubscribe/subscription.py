"""What a link refers to, loaded: the recipient, the event, and what of it the recipient has turned off."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from notifications import conf
from notifications.core import clock
from notifications.events import DIGESTS, NOTIFICATION_EVENTS, NotificationEvent, key_of
from notifications.models import Mute, Notification, get_cluster_model
from notifications.models.preferences import get_choice, normalize_keys, resolve_preference
from notifications.preferences import UserPreferences, load_preferences
from notifications.unsubscribe.links import LinkTarget

DIGEST_EVENTS = frozenset(member.value for member in DIGESTS.values())


class Scope(TextChoices):
    """What a recipient turns off on the channel of an email. A topic is turned off on every channel."""

    EVENT = "event", _("this kind of notification")
    CATEGORY = "category", _("a category")
    TOPIC = "topic", _("a topic")
    DIGEST = "digest", _("digests")
    ALL = "all", _("everything")


@dataclass(frozen=True)
class Subscription:
    """A recipient of an email, and what the email was about.

    :param event_name: the event, which may no longer be registered.
    :param topic: empty if the notification had none, or was deleted.
    """

    user: Any
    cluster: Any
    channel: str
    event_name: str
    notification_id: int
    topic: str = ""

    @property
    def event(self) -> NotificationEvent | None:
        return NOTIFICATION_EVENTS.named(self.event_name)

    @property
    def category(self) -> str:
        return self.event.category if self.event else ""

    @property
    def can_be_turned_off(self) -> bool:
        """Whether the event does not reach users who have opted out."""
        return self.event is None or not self.event.bypasses_preferences

    @property
    def is_digest(self) -> bool:
        return self.event_name in DIGEST_EVENTS

    @property
    def default_scope(self) -> Scope:
        """What one click turns off."""
        return Scope.DIGEST if self.is_digest else Scope.EVENT

    def get_name(self, scope: Scope) -> str:
        """Return the event, category or topic that a scope means here; empty for the other scopes."""
        names = {Scope.EVENT: self.event_name, Scope.CATEGORY: self.category, Scope.TOPIC: self.topic}
        return names.get(scope, "")


def load_subscription(target: LinkTarget) -> Subscription | None:
    """Return what a link refers to; None if the user or the cluster was deleted."""
    user = _find(get_user_model()._default_manager, target.user_key)
    cluster = _find(get_cluster_model()._default_manager, target.cluster_key)
    if user is None or cluster is None:
        return None
    topics = Notification.objects.filter(pk=target.notification_id, cluster=cluster).values_list("topic", flat=True)
    ids = target.channel, target.event, target.notification_id
    return Subscription(user, cluster, *ids, key_of(topics.first() or ""))


def _find(rows: Any, key: str) -> Any:
    try:
        return rows.filter(pk=key).first()
    except (ValueError, ValidationError):
        return None  # the model of the site has another type of key than it had before


class CurrentChoices:
    """The choices of a recipient at the moment, as the gates read them."""

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        user_id = subscription.user.pk
        self.preferences = load_preferences(subscription.cluster, [user_id]).get(user_id) or UserPreferences()
        self.settings = self.preferences.settings

    def list_scopes(self) -> list[Scope]:
        """Return what the recipient can turn off or on."""
        return list(self._iterate_scopes())

    def _iterate_scopes(self) -> Iterator[Scope]:
        subscription = self.subscription
        if not subscription.is_digest:
            if subscription.can_be_turned_off:
                yield Scope.EVENT
            # A category with one event only is that event.
            if subscription.category and set(list_events(subscription, Scope.CATEGORY)) - {subscription.event_name}:
                yield Scope.CATEGORY
        if subscription.topic:
            yield Scope.TOPIC
        if subscription.is_digest or self._has_digest:
            yield Scope.DIGEST
        yield Scope.ALL

    @property
    def _has_digest(self) -> bool:
        return (
            self.settings is not None
            and self.settings.digest in DIGESTS
            and self.subscription.channel in map(key_of, conf.current().digest_channels)
        )

    def is_on(self, scope: Scope) -> bool:
        """Return whether the recipient gets any of it."""
        if scope is Scope.ALL:
            return not self._is_channel_off
        if scope is Scope.TOPIC:
            now = clock.now()
            mutes = [mute for mute in self.preferences.mutes if mute.kind == Mute.Kind.TOPIC]
            return not any(mute.matches("", self.subscription.topic, None, now) for mute in mutes)
        return any(map(self._is_event_on, list_events(self.subscription, scope)))

    def _is_event_on(self, name: str) -> bool:
        event = NOTIFICATION_EVENTS.named(name)
        # As for the gates: digests are turned off by the user only, and by nobody else.
        levels = [self.settings, *(() if name in DIGEST_EVENTS else self.preferences.shared)]
        category = event.category if event else ""
        found = [level for level in levels if level is not None]
        return resolve_preference(found, name, category, self.subscription.channel)[0]

    @property
    def _is_channel_off(self) -> bool:
        channels = normalize_keys(self.settings.channels) if self.settings else {}
        return get_choice(channels, self.subscription.channel) not in (None, True, 1)


def list_events(subscription: Subscription, scope: Scope) -> list[str]:
    """Return the names of the events that a scope consists of; empty for a topic and for everything."""
    if scope is Scope.EVENT:
        return [subscription.event_name]
    if scope is Scope.DIGEST:
        return sorted(DIGEST_EVENTS)
    if scope is Scope.CATEGORY:
        events = NOTIFICATION_EVENTS.values()
        return [
            event.name
            for event in events
            if event.category == subscription.category
            and subscription.channel in event.channels
            and not event.bypasses_preferences
        ]
    return []
