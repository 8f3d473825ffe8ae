"""Topic subscriptions of users in clusters."""

from collections.abc import Collection
from enum import Enum
from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from notifications.core import clock
from notifications.core.addresses import user_key
from notifications.events import key_of
from notifications.models.audit import Audited, AuditedQuerySet
from notifications.models.cluster import cluster_or_default
from notifications.recipients import TOPIC_LENGTH, Topic


class TopicSubscriptionQuerySet(AuditedQuerySet["TopicSubscription"]):
    def subscribe(self, user: Any, topic: Enum | str, cluster: Any = None) -> bool:
        """Subscribe a user to a topic in a cluster, by default the default cluster; return whether this is new.

        :raises InvalidOption: if the topic is not a text, is empty, or is too long.
        """
        return self.get_or_create(user=user, cluster=cluster_or_default(cluster), topic=Topic(topic).key)[1]

    def unsubscribe(self, user: Any, topic: Enum | str, cluster: Any = None) -> bool:
        """Unsubscribe a user from a topic; return whether there was a subscription."""
        subscriptions = self.filter(user=user, cluster=cluster_or_default(cluster), topic=Topic(topic).key)
        return bool(subscriptions.delete()[0])

    def for_topics(self, topics: Collection[str], cluster: Any) -> "TopicSubscriptionQuerySet":
        """Return the subscriptions to any of these topics, given as keys, in a cluster."""
        return self.filter(topic__in=topics, cluster=cluster)


class TopicSubscription(Audited):
    """The subscription of a user to a topic in a cluster."""

    unrecorded_columns = Audited.unrecorded_columns | {"created_at"}

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("user"),
        on_delete=models.CASCADE,
        related_name="notification_topics",
    )
    cluster = models.ForeignKey(
        settings.NOTIFICATIONS_CLUSTER_MODEL, verbose_name=_("cluster"), on_delete=models.CASCADE, related_name="+"
    )
    topic = models.CharField(_("topic"), max_length=TOPIC_LENGTH)
    created_at = models.DateTimeField(_("created at"), default=clock.now, editable=False)

    objects = TopicSubscriptionQuerySet.as_manager()

    class Meta:
        verbose_name = _("topic subscription")
        verbose_name_plural = _("topic subscriptions")
        base_manager_name = "objects"
        constraints = [
            # The topic comes first: a send looks up topic and cluster, and the admin searches for topics.
            models.UniqueConstraint(fields=["topic", "cluster", "user"], name="klaxon_topic_subscription_once")
        ]

    def __str__(self) -> str:
        return f"{self.user} to {self.topic}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.clean()
        super().save(*args, **kwargs)

    @property
    def subject(self) -> str:
        return user_key(self.user_id)

    def clean(self) -> None:
        self.topic = key_of(self.topic)
