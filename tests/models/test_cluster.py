"""The members of a cluster on a site without ``MEMBERS_OF``."""

import pytest
from django.contrib.auth.models import Group

from notifications.models import Cluster
from notifications.models.cluster import members_of
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db


def test_all_active_users_are_members_of_an_open_cluster():
    user = UserFactory()
    UserFactory(is_active=False)
    assert list(members_of(Cluster(open_to_all=True))) == [user]


def test_all_users_are_members_if_the_user_model_has_no_is_active(monkeypatch):
    monkeypatch.setattr(Group, "is_active", True, raising=False)
    member = Group.objects.create(name="a user of a model without is_active")
    monkeypatch.setattr("notifications.models.cluster.get_user_model", lambda: Group)
    assert list(members_of(Cluster(open_to_all=True))) == [member]
