"""Recipients of any kind as chunks of user ids and addresses."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.contrib.sessions.models import Session
from django.core.exceptions import FieldDoesNotExist
from django.db import connection, transaction
from django.utils.functional import SimpleLazyObject

from notifications.core.addresses import user_key
from notifications.events import NotificationChannel
from notifications.exceptions import InvalidOption, InvalidRecipient
from notifications.models import Cluster
from notifications.recipients import Address, Members, To
from notifications.sending.audience import Audience, NoGroupModel, get_group_model, iterate_sorted
from tests.factories import ClusterFactory, UserFactory

pytestmark = pytest.mark.django_db

CONTACT = Address(phone="+4915112345678")


def chunks(recipients, size):
    return Audience(recipients, None, ("email", "app", "sms")).chunks(size)


def ids(recipients, size=100):
    return [pk for chunk in chunks(recipients, size) for pk in chunk.user_ids]


def addresses(recipients, size=100):
    return [address for chunk in chunks(recipients, size) for address in chunk.addresses]


@pytest.fixture
def users():
    return UserFactory.create_batch(5)


def test_one_user_is_accepted(users):
    assert ids(users[0]) == [users[0].pk]


def test_the_user_of_a_request_is_a_user(users):
    assert ids(SimpleLazyObject(lambda: users[0])) == [users[0].pk]
    assert ids([SimpleLazyObject(lambda: users[0])]) == [users[0].pk]


@pytest.mark.parametrize("kind", [list, tuple, set, iter, lambda users: (user for user in users)])
def test_any_iterable_gives_each_once_in_the_order_of_their_ids(users, kind):
    assert ids(kind([*reversed(users), users[0], users[0]])) == sorted(user.pk for user in users)


def test_no_recipients_make_no_chunks():
    assert list(chunks([], 10)) == []
    assert list(chunks(User.objects.none(), 10)) == []


def test_a_queryset_is_streamed_in_chunks(users):
    found = list(chunks(User.objects.order_by("-username"), 2))
    assert [len(chunk.user_ids) for chunk in found] == [2, 2, 1]
    assert [pk for chunk in found for pk in chunk.user_ids] == sorted(user.pk for user in users)


def test_only_the_ids_of_a_queryset_are_read(users, django_assert_num_queries):
    with django_assert_num_queries(1) as queries:
        ids(User.objects.all())
    assert "password" not in queries.captured_queries[0]["sql"]


def test_a_join_that_repeats_users_gives_each_once(users):
    for name in ("night", "day"):
        Group.objects.create(name=name).user_set.set(users)
    assert ids(User.objects.filter(groups__name__in=["night", "day"])) == [user.pk for user in users]


def test_a_sliced_queryset_stays_sliced(users):
    assert ids(User.objects.order_by("-pk")[:2]) == [users[3].pk, users[4].pk]


def test_a_union_of_querysets_is_accepted(users):
    first, second = User.objects.filter(pk=users[0].pk), User.objects.filter(pk__in=[users[0].pk, users[1].pk])
    assert ids(first.union(second)) == [users[0].pk, users[1].pk]


def test_prefetches_and_deferred_fields_do_not_matter(users):
    assert len(ids(User.objects.prefetch_related("groups").only("username"))) == 5
    assert len(ids(User.objects.prefetch_related("groups")[:3])) == 3


def test_distinct_on_fields_keeps_its_rows(users):
    if connection.vendor != "postgresql":
        pytest.skip("DISTINCT ON is PostgreSQL's.")
    User.objects.update(last_name="Same")
    assert len(ids(User.objects.order_by("last_name", "pk").distinct("last_name"))) == 1


def test_a_queryset_with_select_for_update_is_accepted(users):
    with transaction.atomic():
        assert len(ids(User.objects.select_for_update().all())) == 5


def test_members_are_the_users_that_members_of_returns(users):
    cluster = ClusterFactory(members=users[:3])
    assert ids(Members(cluster), 2) == [user.pk for user in users[:3]]


def test_bare_addresses_come_after_users_each_once(users):
    recipients = [CONTACT, users[1], Address(email="x@example.com"), Address(phone=" +4915112345678 "), users[0]]
    found = list(chunks(recipients, 10))
    assert [len(chunk.user_ids) for chunk in found] == [2, 0]
    assert [len(chunk.addresses) for chunk in found] == [0, 2]


def test_one_address_is_accepted():
    assert addresses(CONTACT) == [CONTACT]


def test_addresses_come_in_chunks_in_the_order_of_their_keys():
    many = [Address(email=f"{number}@example.com") for number in range(5)]
    found = list(chunks(reversed(many), 2))
    assert [len(chunk.addresses) for chunk in found] == [2, 2, 1]
    keys = [address.key for chunk in found for address in chunk.addresses]
    assert keys == sorted(keys)


def test_a_mixture_gives_each_once(users):
    cluster = ClusterFactory(members=users[:2])
    mixture = [
        users[1],
        User.objects.filter(pk=users[2].pk),
        Members(cluster),
        User.objects.order_by("-pk")[:1],
        CONTACT,
    ]
    assert ids(mixture) == [users[0].pk, users[1].pk, users[2].pk, users[4].pk]
    assert addresses(mixture) == [CONTACT]


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        5,
        "ann@example.com",
        b"ann",
        ["ann@example.com"],
        [None],
        [5],
        {"email": "ann@example.com"},
        AnonymousUser(),
        [AnonymousUser()],
        User(username="unsaved"),
        User,
    ],
)
def test_something_other_than_a_recipient_is_an_error(wrong):
    with pytest.raises(InvalidRecipient):
        list(chunks(wrong, 10))


@pytest.mark.parametrize("wrong", [Cluster(name="unsaved"), User(pk=1), "default", 1])
def test_the_members_of_something_other_than_a_saved_cluster_are_an_error(wrong):
    with pytest.raises(InvalidRecipient, match=r"Members\(…\) takes a saved Cluster, or None, not "):
        list(chunks(Members(wrong), 10))


def test_a_queryset_of_something_else_is_an_error_that_names_it():
    with pytest.raises(InvalidRecipient, match="Permission"):
        list(chunks(Permission.objects.all(), 10))
    with pytest.raises(InvalidRecipient, match="Permission"):
        list(chunks([Permission.objects.all()], 10))


class TestGroups:
    @pytest.fixture
    def groups(self, users):
        found = [Group.objects.create(name=name) for name in ("night", "day", "nobody")]
        found[0].user_set.set(users[:3])
        found[1].user_set.set(users[2:])
        return found

    def test_a_group_is_its_users(self, users, groups):
        assert ids(groups[0], 2) == [user.pk for user in users[:3]]
        assert ids(groups[2]) == []

    def test_several_groups_name_each_user_once_by_one_query(self, users, groups, django_assert_num_queries):
        with django_assert_num_queries(1):
            assert ids(groups, 2) == [user.pk for user in users]

    @pytest.mark.parametrize(
        "chosen",
        [
            lambda: Group.objects.exclude(name="nobody"),
            lambda: [Group.objects.order_by("-name")],
            lambda: Group.objects.filter(name="night").union(Group.objects.filter(name="day")),
            lambda: Group.objects.order_by("pk")[:2],
            lambda: Group.objects.values("name"),
        ],
    )
    def test_a_queryset_of_groups_is_their_users(self, users, groups, chosen):
        assert ids(chosen(), 2) == [user.pk for user in users]

    def test_a_slice_of_groups_stays_a_slice(self, users, groups):
        assert ids(Group.objects.order_by("pk")[:1]) == [user.pk for user in users[:3]]

    def test_a_group_that_is_not_saved_is_an_error(self):
        with pytest.raises(InvalidRecipient, match="The group .* is not saved yet"):
            ids(Group(name="new"))

    def test_a_group_is_an_error_if_users_have_no_groups(self, groups, monkeypatch):
        def no_such_field(name):
            raise FieldDoesNotExist(name)

        monkeypatch.setattr(User._meta, "get_field", no_such_field)
        assert get_group_model() is NoGroupModel
        for recipients in (groups[0], [groups[0]], Group.objects.all()):
            with pytest.raises(InvalidRecipient, match="The user model User has no groups, so a Group cannot be"):
                ids(recipients)

    def test_the_error_names_the_group_model_of_the_site(self, groups, monkeypatch):
        field = SimpleNamespace(many_to_many=True, related_model=Cluster)
        monkeypatch.setattr(User._meta, "get_field", lambda name: field)
        with pytest.raises(InvalidRecipient, match="The groups of User are of the model Cluster"):
            ids(groups[0])


def channels_by_key(recipients, size=100):
    """Return the channels by recipient key, in order; None means all channels."""
    found = {}
    for chunk in chunks(recipients, size):
        keys = [user_key(pk) for pk in chunk.user_ids] + [address.key for address in chunk.addresses]
        assert not set(keys) & set(found)
        found |= {key: sorted(channels) if (channels := chunk.channels_by_key.get(key)) else None for key in keys}
    return found


class TestTo:
    def test_a_to_gives_some_recipients_other_channels(self, users):
        first, second, third = (user_key(user.pk) for user in users[:3])
        recipients = [users[2], To(users[1], ["SMS"]), To([users[0]], [NotificationChannel.EMAIL])]
        assert channels_by_key(recipients) == {first: ["email"], second: ["sms"], third: None}

    def test_a_recipient_named_twice_gets_the_channels_of_both(self, users):
        recipients = [To(users[:3], ["email"]), To(User.objects.filter(pk__gte=users[1].pk), ["app"])]
        assert list(channels_by_key(recipients, 2).values()) == [["email"], *[["app", "email"]] * 2, *[["app"]] * 2]

    def test_a_recipient_also_named_without_a_to_gets_all_channels(self, users):
        assert set(channels_by_key([To(users, ["email"]), *users], 2).values()) == {None}
        assert set(channels_by_key([*users, To(User.objects.all(), ["email"])], 2).values()) == {None}

    def test_the_channels_of_addresses_are_combined_too(self):
        other = Address(email="x@example.com")
        recipients = [To([CONTACT, other], ["sms"]), To(CONTACT, ["email"]), To(other, ["app"]), other]
        assert channels_by_key(recipients, 1) == {CONTACT.key: ["email", "sms"], other.key: None}

    def test_an_address_named_first_without_a_to_keeps_all_channels(self):
        assert channels_by_key([CONTACT, To(CONTACT, ["sms"])]) == {CONTACT.key: None}

    @pytest.mark.parametrize("size", [1, 2, 3, 100])
    def test_users_from_all_sources_are_in_one_order(self, users, size):
        group = Group.objects.create(name="night")
        group.user_set.set([users[4], users[0]])
        recipients = [
            To(group, ["app"]),
            To([users[3]], ["sms"]),
            To(Members(ClusterFactory(members=users[:2])), ["sms"]),
            User.objects.filter(pk=users[2].pk),
            To(User.objects.order_by("-pk")[:2], ["email"]),
        ]
        expected = [["app", "sms"], ["sms"], None, ["email", "sms"], ["app", "email"]]
        assert list(channels_by_key(recipients, size)) == [user_key(user.pk) for user in users]
        assert list(channels_by_key(recipients, size).values()) == expected

    def test_one_to_is_accepted(self, users):
        assert len(channels_by_key(To(User.objects.all(), ["app"]))) == 5

    def test_a_to_cannot_add_a_channel(self, users):
        with pytest.raises(InvalidOption, match=r"those of the call \(email, app, sms\); push, fax cannot be added"):
            chunks([To(users, ["push", "email", "fax"])], 10)

    @pytest.mark.parametrize("wrong", [None, "email", NotificationChannel.EMAIL, [], 5])
    def test_the_channels_of_a_to_are_a_list_and_not_empty(self, users, wrong):
        with pytest.raises(InvalidOption, match="channels"):
            To(users, wrong)

    def test_a_to_inside_another_is_an_error(self, users):
        with pytest.raises(InvalidRecipient, match="inside another"):
            chunks(To([To(users, ["app"])], ["app"]), 10)

    @pytest.mark.parametrize("wrong", [None, "ann@example.com", [5], Permission])
    def test_something_other_than_a_recipient_is_an_error_inside_a_to(self, wrong):
        with pytest.raises(InvalidRecipient):
            chunks(To(wrong, ["app"]), 10)

    def test_the_requested_channels_are_those_of_all_tos(self, users):
        audience = Audience([To(users[0], ["sms"]), To([], ["app"]), users[1]], None, ("email", "app", "sms"))
        assert audience.requested_channels == {"sms", "app"}


def test_text_keys_are_sorted_as_in_python():
    # The collation of a database may sort a before B.
    for key in ("b", "a", "B", "Z", "ä", "_"):
        Session.objects.create(session_key=key, expire_date=datetime(2026, 1, 1, tzinfo=UTC))
    assert list(iterate_sorted(Session.objects.all(), "pk", 2)) == sorted(["b", "a", "B", "Z", "ä", "_"])
