"""Subscriptions to topics, by staff."""

from typing import Any

from django.test import Client
from django.urls import reverse

from notifications.models import Cluster, PreferenceChange, TopicSubscription
from tests.admin.conftest import customers

ADD, LIST = "admin:klaxon_topicsubscription_add", "admin:klaxon_topicsubscription_changelist"


def add(client: Client, user: Any, cluster: Cluster, topic: str) -> Any:
    return client.post(reverse(ADD), {"user": user.pk, "cluster": cluster.pk, "topic": topic})


def test_a_topic_is_stored_in_its_canonical_spelling(boss: Client, cluster: Cluster) -> None:
    [user] = customers(1)
    assert add(boss, user, cluster, " Pool").status_code == 302
    assert TopicSubscription.objects.get().topic == "pool"


def test_a_second_subscription_is_refused(boss: Client, cluster: Cluster) -> None:
    [user] = customers(1)
    add(boss, user, cluster, "pool")
    assert "already exists" in add(boss, user, cluster, "POOL").content.decode()
    assert TopicSubscription.objects.count() == 1


def test_they_are_found_by_topic_and_by_user(boss: Client, cluster: Cluster) -> None:
    for user in customers(3):
        TopicSubscription.objects.subscribe(user, "pool", cluster)
    for words, found in (("Pool", 3), ("ann1", 1), ("pool ann1", 1), ("poo", 0)):
        assert boss.get(reverse(LIST, query={"q": words})).context["cl"].result_count == found


def test_changes_of_subscriptions_are_recorded(boss: Client, cluster: Cluster) -> None:
    users = customers(2)
    for user in users:
        add(boss, user, cluster, "pool")
    keys = list(TopicSubscription.objects.values_list("pk", flat=True))
    boss.post(reverse(LIST), {"action": "delete_selected", "_selected_action": keys, "post": "yes"})
    assert not TopicSubscription.objects.exists()
    rows = list(PreferenceChange.objects.order_by("pk").values_list("action", "by__username"))
    assert rows == [("added", "boss")] * 2 + [("deleted", "boss")] * 2
