"""Who belongs to a cluster, if the host does not say."""

import pytest
from django.contrib.auth.models import Group

from notifications.models import Cluster
from notifications.models.cluster import members_of
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db


def test_an_open_cluster_has_all_who_are_active():
    user = UserFactory()
    UserFactory(is_active=False)
    assert list(members_of(Cluster(open_to_all=True))) == [user]


def test_where_nobody_can_be_inactive_it_has_all(monkeypatch):
    monkeypatch.setattr(Group, "is_active", True, raising=False)
    plain = Group.objects.create(name="a user of a model without such a column")
    monkeypatch.setattr("notifications.models.cluster.get_user_model", lambda: Group)
    assert list(members_of(Cluster(open_to_all=True))) == [plain]
