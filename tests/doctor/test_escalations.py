"""Escalations that reach nobody, and overrides that overlap."""

from datetime import timedelta

import pytest

from notifications.core import clock
from notifications.models import Cluster, Rota, RotaOverride
from tests.doctor.diagnosing import diagnose, find_faults, list_faults
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def rota():
    return Rota.objects.create(cluster=Cluster.objects.default(), key="night", name="Night", time_zone="Europe/Berlin")


def add(rota, user, start, hours):
    begin = clock.now() + start * HOUR
    return RotaOverride.objects.create(rota=rota, user=user, starts_at=begin, ends_at=begin + hours * HOUR)


def test_overrides_of_two_people_that_overlap_are_reported(rota):
    ann, bob = UserFactory(username="ann"), UserFactory(username="bob")
    add(rota, ann, 1, 10)
    add(rota, bob, 8, 10)
    [fault] = list_faults("rotas")
    assert (fault["status"], fault["name"]) == ("warning", "rota night")
    assert "of ann and bob overlap" in fault["detail"]
    assert "bob is on call then" in fault["detail"]
    assert "Shorten or delete" in fault["remedy"]


@pytest.mark.parametrize(
    ("first", "second"),
    [((1, 2), (3, 2)), ((-9, 5), (-9, 5)), ((24 * 31, 5), (24 * 31, 5))],
    ids=["one after the other", "past", "in more than 30 days"],
)
def test_what_does_not_overlap_or_does_not_matter_is_no_fault(rota, first, second):
    for user, (start, hours) in zip(UserFactory.create_batch(2), (first, second), strict=True):
        add(rota, user, start, hours)
    assert diagnose("rotas")[0] == 0
    assert list_faults("rotas") == []


def test_two_overrides_of_one_person_are_no_fault(rota):
    ann = UserFactory()
    add(rota, ann, 1, 10)
    add(rota, ann, 8, 10)
    assert list_faults("rotas") == []


def test_a_gap_and_a_target_that_does_not_exist_are_reported(rota):
    found = find_faults("escalations")
    assert any("Nobody is on call" in one["detail"] for one in found.values())
    assert any(one["status"] == "error" and "There is no user" in one["detail"] for one in found.values())
    assert all(one["remedy"] for one in found.values())
