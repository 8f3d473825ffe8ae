"""The topics that a user follows, and those that the site offers."""

from collections.abc import Iterable
from enum import Enum
from typing import Any, NamedTuple

from django.utils.module_loading import import_string

from notifications import conf
from notifications.models import InboxItem, TopicSubscription
from notifications.preference_centre.owner import Owner
from notifications.recipients import Topic

# The topics of this number of inbox items can be muted.
RECENT_ITEMS = 200


class TopicRow(NamedTuple):
    """A topic that a user follows or can follow."""

    key: str
    label: str
    is_followed: bool


def list_topics(owner: Owner) -> list[TopicRow]:
    """Return the topics that a user follows, and those that ``TOPICS_OF`` offers."""
    followed = {row.topic: row.topic for row in _get_subscriptions(owner)}
    labels = {**followed, **load_offered_topics(owner)}
    return [TopicRow(key, labels[key], key in followed) for key in sorted(labels, key=lambda key: labels[key].lower())]


def load_offered_topics(owner: Owner) -> dict[str, str]:
    """Return the topics that the site offers to a user in a cluster, with their names.

    :raises InvalidOption: if ``TOPICS_OF`` returns something that is no topic.
    """
    path = conf.current().topics_of
    if not path:
        return {}
    offered: Iterable[Any] = import_string(path)(owner.cluster, owner.user)
    return dict(map(_name_topic, offered))


def _name_topic(offered: Any) -> tuple[str, str]:
    """Return the key and name of a topic, or of a pair of a topic and its name."""
    topic, label = offered if isinstance(offered, tuple) else (offered, "")
    key = topic.key if isinstance(topic, Topic) else Topic(topic).key
    return key, str(label) or (str(topic.value) if isinstance(topic, Enum) else getattr(topic, "key", str(topic)))


def follow_topic(owner: Owner, key: str, is_wanted: bool) -> bool:
    """Subscribe a user to an offered topic, or end a subscription; return whether the user may do this."""
    if not is_wanted:
        found = [row for row in _get_subscriptions(owner) if row.topic == key]
        for row in found:
            row.delete(by=owner.user)
        return bool(found)
    if key not in load_offered_topics(owner):
        return False
    names = {"user": owner.user, "cluster": owner.cluster, "topic": key}
    if not TopicSubscription.objects.filter(**names).exists():
        TopicSubscription.objects.subscribe(owner.user, key, owner.cluster)
    return True


def list_mutable_topics(owner: Owner, listed: Iterable[TopicRow]) -> list[tuple[str, str]]:
    """Return the topics that a user knows: those that the page lists, and those of recent inbox items."""
    recent = InboxItem.objects.of(owner.user).filter(cluster=owner.cluster).order_by("-created_at", "-id")
    keys = {key.strip().lower() for key in recent.values_list("topic", flat=True)[:RECENT_ITEMS] if key.strip()}
    known = {**{key: key for key in keys}, **{row.key: row.label for row in listed}}
    return sorted(known.items(), key=lambda item: item[1].lower())


def _get_subscriptions(owner: Owner) -> Any:
    return TopicSubscription.objects.filter(user=owner.user, cluster=owner.cluster)
