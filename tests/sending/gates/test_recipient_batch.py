"""Users with equal facts share one decision, which is the same as if each were decided alone."""

from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple

import pytest
from django.contrib.auth.models import Group, User
from django.db.models import Model, QuerySet
from django.db.models.signals import post_init
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from notifications.conf import get_address_kind
from notifications.core.addresses import ChosenAddress
from notifications.events import NotificationEvent, NotificationPriority
from notifications.models import Cluster, Mute, Notification, SharedPreference, Suppression, UserSettings, get_members
from notifications.sending.audience import Chunk
from notifications.sending.decisions import Decisions
from notifications.sending.gates import Facts, decide, load_people
from notifications.sending.gates.recipient_batch import (
    CachedDecision,
    RecipientLoader,
    _build_user_columns,
    find_user_columns,
)
from notifications.sending.request import Request, StoredOptions
from notifications.storage.insert import MAX_INSERT_ROWS
from notifications.storage.load_recipients import load_recipients, parse_facts
from tests.factories import ClusterFactory, UserFactory, UserSettingsFactory

NOON = datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)
CHANNELS = ("email", "app", "log")
EVENT = NotificationEvent("roof_leaks", NotificationPriority.MEDIUM, CHANNELS, category="works", batch_window=300)
CHOICES = st.dictionaries(st.sampled_from(("email", "EMAIL", "app", "*")), st.booleans(), max_size=2)
GONE = "gone@example.com"
USERS = st.fixed_dictionaries(
    {
        "active": st.booleans(),
        "member": st.booleans(),
        "email": st.sampled_from(("ann@example.com", "Gone@Example.com", "", "no address")),
        "role": st.booleans(),
        "mutes": st.lists(
            st.tuples(
                st.sampled_from((("event", "roof_leaks"), ("topic", "gossip"))),
                # Some have just ended, some are just about to.
                st.sampled_from((None, NOON - timedelta(seconds=10), NOON + timedelta(seconds=20))),
            ),
            max_size=1,
        ),
        "settings": st.none()
        | st.fixed_dictionaries(
            {
                "channels": CHOICES,
                "categories": st.dictionaries(st.just("works"), CHOICES, max_size=1),
                "addresses": st.dictionaries(
                    st.sampled_from(("email", "app")),
                    st.sampled_from(("other@example.com", GONE, "typo")),
                    max_size=1,
                ),
                "quiet_from": st.sampled_from((None, time(11))),
                "quiet_until": st.sampled_from((None, time(14), time(11))),
                "delivery_windows": st.sampled_from(({}, {"email": [["15:00", "16:00"]]}, {"email": "never"})),
                "digest": st.sampled_from(("none", "daily")),
                "time_zone": st.sampled_from(("", "Asia/Tokyo", "nowhere")),
            }
        ),
    }
)


def create_user(number, values, cluster, role):
    user = User.objects.create(username=f"u{number}", email=values["email"], is_active=values["active"])
    if values["member"]:
        cluster.members.add(user)
    if values["role"]:
        user.groups.add(role)
    if values["settings"] is not None:
        UserSettings.objects.bulk_create([UserSettings(user=user, cluster=cluster, **values["settings"])])
    Mute.objects.bulk_create(
        Mute(user=user, cluster=cluster, kind=kind, value=value, until=until)
        for (kind, value), until in values["mutes"]
    )
    return user.pk


def request(cluster):
    return Request(EVENT, cluster, {}, StoredOptions(topic="gossip"), CHANNELS, (), (), NotificationPriority.MEDIUM, 50)


class Found(NamedTuple):
    key: str
    user_id: int
    decision: CachedDecision
    addresses: list[str]
    chosen_addresses: dict[str, ChosenAddress]


def recipients(cluster, users):
    batch = RecipientLoader(cluster, {"email": "email"}).load_users([user.pk for user in users])
    return [Found(*recipient) for recipient in batch.recipients]


class TestSharedDecisions(TestCase):
    @settings(deadline=None)
    @given(st.lists(USERS, min_size=1, max_size=5), st.booleans(), st.booleans())
    def test_each_user_gets_the_same_answer_as_alone(self, users, open_to_all, shared):
        cluster = Cluster.objects.create(name="c", slug="c", open_to_all=open_to_all)
        role = Group.objects.create(name="night")
        if shared:
            SharedPreference.objects.create(cluster=cluster, group=role, channels={"app": False})
            SharedPreference.objects.create(cluster=cluster, channels={"email": False})
        Suppression.objects.suppress([("email", GONE)], Suppression.Cause.HARD_BOUNCE, NOON)
        ids = (*(create_user(number, values, cluster, role) for number, values in enumerate(users)), 999_999)
        kinds = {channel: get_address_kind(channel) for channel in CHANNELS}
        notification = Notification(event=EVENT.name, topic="gossip", created_at=NOON)
        decisions = Decisions(request(cluster), notification, kinds, NOON)
        # Twice, so that the second chunk uses the decisions of the first.
        chunks = [[*decisions.decide(Chunk(ids))] for _ in range(2)]
        assert [answer for _candidate, _original, answer in chunks[0]] == [answer for *_rest, answer in chunks[1]]
        suppressed = Suppression.objects.find_suppressed([("email", GONE)])
        alone = {
            (person.key, channel): (person.choose_address(channel, kind), person, kind)
            for person in load_people(cluster, ids).values()
            for channel, kind in kinds.items()
        }
        for candidate, _original, answer in chunks[0]:
            found, person, kind = alone[candidate.key, candidate.channel]
            if found.address == GONE and found.alternative.lower() not in ("", GONE):
                found = found.use_alternative()
            facts = Facts(
                EVENT,
                candidate.channel,
                kind,
                person,
                found.address,
                suppressed,
                topic="gossip",
                now=NOON,
                wanted_at=NOON,
            )
            assert (candidate.address, candidate.rejected_address) == (found.address, found.rejected_address)
            assert answer == decide(facts)


@pytest.mark.django_db
class TestDecisionsAreShared:
    def recipients(self, cluster, users):
        return recipients(cluster, users)

    def test_users_with_the_same_settings_share_a_decision(self):
        users = UserFactory.create_batch(3)
        cluster = ClusterFactory(members=users)
        for user in users[:2]:
            UserSettingsFactory(user=user, cluster=cluster, channels={"app": False}, language=user.username[:5])
        one, two, three = self.recipients(cluster, users)
        assert one.decision is two.decision
        assert one.decision is not three.decision
        assert [one.addresses, two.addresses] == [[user.email] for user in users[:2]]

    def test_users_with_chosen_addresses_share_a_decision(self):
        users = UserFactory.create_batch(2)
        cluster = ClusterFactory(members=users)
        for user in users:
            UserSettingsFactory(user=user, cluster=cluster, addresses={"email": f"own{user.pk}@example.com"})
        one, two = self.recipients(cluster, users)
        assert one.decision is two.decision
        assert [one.addresses, two.addresses] == [[f"own{user.pk}@example.com"] for user in users]

    def test_users_with_the_same_roles_and_mutes_share_a_decision(self):
        users = UserFactory.create_batch(4)
        cluster, role = ClusterFactory(members=users), Group.objects.create(name="night")
        SharedPreference.objects.create(cluster=cluster, group=role)
        for user in users[:2]:
            user.groups.add(role)
            Mute.objects.create(user=user, cluster=cluster, kind="topic", value="gossip")
        users[2].groups.add(role)
        kinds = [recipient.decision for recipient in self.recipients(cluster, users)]
        assert kinds[0] is kinds[1]
        assert len({id(kind) for kind in kinds}) == 3

    @pytest.mark.parametrize("count", [3, MAX_INSERT_ROWS + 1])
    def test_roles_without_preferences_are_read_once(self, count, django_assert_num_queries):
        users = UserFactory.create_batch(count)
        cluster = ClusterFactory(members=users)
        for number, user in enumerate(users):
            user.groups.add(Group.objects.create(name=f"role {number}"))
        SharedPreference.objects.create(cluster=cluster, group=users[0].groups.get())
        with django_assert_num_queries(2):
            first, *others = self.recipients(cluster, users)
        assert [row.group_id for row in first.decision.person.shared] == [users[0].groups.get().pk]
        assert not any(other.decision.person.shared for other in others)

    @pytest.mark.parametrize("open_to_all", [True, False])
    def test_the_membership_condition_agrees_with_members_of(self, open_to_all):
        users = [UserFactory(), UserFactory(is_active=False), UserFactory()]
        cluster = ClusterFactory(members=users[:2], open_to_all=open_to_all)
        ids = [user.pk for user in users]
        found = {row[0]: parse_facts(row).is_member for row in self.rows(cluster, ids)}
        assert {pk for pk, member in found.items() if member} == set(
            get_members(cluster).filter(pk__in=ids).values_list("pk", flat=True)
        )

    def rows(self, cluster, ids):
        return load_recipients("default", cluster, ids, ("email",), "is_active")


def odd_email(user):
    return f"{user.username}@odd.example"


@pytest.mark.django_db
class TestCustomUserModels:
    def test_an_address_that_is_not_a_column_is_read_from_the_instance(self, settings, monkeypatch):
        monkeypatch.setattr(User, "pager", property(odd_email), raising=False)
        settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "ADDRESS_FIELDS": {"email": "pager"}}
        users = UserFactory.create_batch(2)
        found = recipients(Cluster.objects.default(), users)
        assert [recipient.addresses for recipient in found] == [[odd_email(user)] for user in users]

    def test_a_model_with_its_own_from_db_is_loaded_as_instances(self, monkeypatch):
        user = UserFactory(email="secret")
        original = User.from_db.__func__

        def from_db(cls, db, names, values, **more):
            row = original(cls, db, names, values, **more)
            row.email = "open@example.com"
            return row

        monkeypatch.setattr(User, "from_db", classmethod(from_db))
        [found] = recipients(Cluster.objects.default(), [user])
        assert found.addresses == ["open@example.com"]

    @pytest.fixture(autouse=True)
    def clear_cache(self):
        _build_user_columns.cache_clear()
        yield
        _build_user_columns.cache_clear()

    def is_read_by_columns(self):
        return find_user_columns({"email": "email"}, "default") is not None

    def test_an_ordinary_model_is_read_by_columns(self):
        assert self.is_read_by_columns()

    def test_an_address_in_a_column_that_is_not_text_is_read_from_the_instance(self, settings):
        settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "ADDRESS_FIELDS": {"email": "id"}}
        user = UserFactory()
        assert not self.is_read_by_columns()
        [found] = recipients(Cluster.objects.default(), [user])
        assert found.addresses == [str(user.pk)]

    def test_a_receiver_of_post_init_is_called(self):
        def close(instance, **kwargs):
            instance.is_active = False

        user = UserFactory()
        post_init.connect(close, sender=User)
        try:
            assert not self.is_read_by_columns()
            [found] = recipients(Cluster.objects.default(), [user])
            assert not found.decision.person.user.is_active
        finally:
            post_init.disconnect(close, sender=User)

    def test_a_custom_init_is_called(self, monkeypatch):
        monkeypatch.setattr(User, "__init__", lambda self, *args, **kwargs: Model.__init__(self, *args, **kwargs))
        assert not self.is_read_by_columns()

    def test_a_custom_manager_or_queryset_is_used(self, monkeypatch):
        class Tenants(QuerySet):
            pass

        manager = User._default_manager
        monkeypatch.setattr(manager, "_queryset_class", Tenants)
        assert not self.is_read_by_columns()
        monkeypatch.undo()
        _build_user_columns.cache_clear()
        monkeypatch.setattr(type(manager), "get_queryset", lambda self: QuerySet(User), raising=False)
        assert not self.is_read_by_columns()

    def test_a_converted_primary_key_is_converted(self, monkeypatch):
        monkeypatch.setattr(User._meta.pk, "from_db_value", lambda value, *rest: f"usr_{value}", raising=False)
        assert not self.is_read_by_columns()
