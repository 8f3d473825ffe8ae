"""Recipients of any kind, as chunks of ids and addresses."""

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from django.db import connection, transaction
from django.utils.functional import SimpleLazyObject

from notifications.audience import chunks
from notifications.exceptions import InvalidRecipient
from notifications.recipients import Address, Members, user_key
from tests.factories import ClusterFactory, UserFactory

pytestmark = pytest.mark.django_db

CONTACT = Address(phone="+4915112345678")


def ids(recipients, size=100):
    return [pk for chunk in chunks(recipients, size) for pk in chunk.user_ids]


def addresses(recipients, size=100):
    return [address for chunk in chunks(recipients, size) for address in chunk.addresses]


@pytest.fixture
def users():
    return UserFactory.create_batch(5)


def test_one_user_is_enough(users):
    assert ids(users[0]) == [users[0].pk]


def test_the_user_of_a_request_is_a_user(users):
    assert ids(SimpleLazyObject(lambda: users[0])) == [users[0].pk]
    assert ids([SimpleLazyObject(lambda: users[0])]) == [users[0].pk]


@pytest.mark.parametrize("kind", [list, tuple, set, iter, lambda users: (user for user in users)])
def test_any_iterable_gives_each_once_in_the_order_of_their_ids(users, kind):
    assert ids(kind([*reversed(users), users[0], users[0]])) == sorted(user.pk for user in users)


def test_nobody_is_nobody():
    assert list(chunks([], 10)) == []
    assert list(chunks(User.objects.none(), 10)) == []


def test_a_queryset_is_streamed_in_chunks(users):
    found = list(chunks(User.objects.order_by("-username"), 2))
    assert [len(chunk.user_ids) for chunk in found] == [2, 2, 1]
    assert [pk for chunk in found for pk in chunk.user_ids] == sorted(user.pk for user in users)


def test_of_a_queryset_only_ids_are_read(users, django_assert_num_queries):
    with django_assert_num_queries(1) as queries:
        ids(User.objects.all())
    assert "password" not in queries.captured_queries[0]["sql"]


def test_a_join_that_repeats_users_gives_each_once(users):
    for name in ("night", "day"):
        Group.objects.create(name=name).user_set.set(users)
    assert ids(User.objects.filter(groups__name__in=["night", "day"])) == [user.pk for user in users]


def test_a_sliced_queryset_stays_sliced(users):
    assert ids(User.objects.order_by("-pk")[:2]) == [users[3].pk, users[4].pk]


def test_a_union_of_querysets_is_understood(users):
    first, second = User.objects.filter(pk=users[0].pk), User.objects.filter(pk__in=[users[0].pk, users[1].pk])
    assert ids(first.union(second)) == [users[0].pk, users[1].pk]


def test_prefetches_and_deferred_fields_do_not_matter(users):
    assert len(ids(User.objects.prefetch_related("groups").only("username"))) == 5
    assert len(ids(User.objects.select_related().prefetch_related("groups")[:3])) == 3


def test_one_user_per_something_stays_one_per_something(users):
    if connection.vendor != "postgresql":
        pytest.skip("DISTINCT ON is PostgreSQL's.")
    User.objects.update(last_name="Same")
    assert len(ids(User.objects.order_by("last_name", "pk").distinct("last_name"))) == 1


def test_users_that_the_caller_has_locked_are_users(users):
    with transaction.atomic():
        assert len(ids(User.objects.select_for_update().all())) == 5


def test_members_are_those_whom_the_site_names(users):
    cluster = ClusterFactory(members=users[:3])
    assert ids(Members(cluster), 2) == [user.pk for user in users[:3]]


def test_bare_addresses_come_after_users_each_once(users):
    recipients = [CONTACT, users[1], Address(email="x@example.com"), Address(phone=" +4915112345678 "), users[0]]
    found = list(chunks(recipients, 10))
    assert [len(chunk.user_ids) for chunk in found] == [2, 0]
    assert [len(chunk.addresses) for chunk in found] == [0, 2]


def test_one_address_is_enough():
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
def test_what_is_no_recipient_is_an_error(wrong):
    with pytest.raises(InvalidRecipient):
        list(chunks(wrong, 10))


def test_a_queryset_of_something_else_is_an_error_that_names_it():
    with pytest.raises(InvalidRecipient, match="Group"):
        list(chunks(Group.objects.all(), 10))
    with pytest.raises(InvalidRecipient, match="Group"):
        list(chunks([Group.objects.all()], 10))


class TestAddress:
    def test_it_needs_at_least_one_address(self):
        with pytest.raises(TypeError, match="at least one"):
            Address()

    def test_the_same_person_has_one_key_in_any_case_or_order(self):
        one = Address(email="Ann@Example.com", phone="+4915112345678")
        assert one.key == Address(phone="+4915112345678 ", email="ann@example.com").key
        assert one.key != Address(email="ann@example.com").key
        assert one.key.startswith("a:")
        assert len(one.key) <= 80

    def test_white_space_around_it_is_no_part_of_it(self):
        # Else the second of two that have one key could take the place of the first, and be refused as malformed.
        assert Address(email=" ann@example.com\n").of_kind("email") == "ann@example.com"

    def test_white_space_alone_is_no_address(self):
        with pytest.raises(TypeError, match="at least one"):
            Address(email=" ")

    def test_the_key_tells_nothing_of_the_address(self):
        assert "ann" not in Address(email="ann@example.com").key

    def test_a_kind_that_was_not_given_is_nothing(self):
        assert CONTACT.of_kind("email") == ""
        assert CONTACT.of_kind("phone") == "+4915112345678"

    def test_a_kind_given_as_none_is_a_kind_that_was_not_given(self):
        # Address(email=contact.email, phone=contact.phone), of a contact who has only one of them.
        contact = Address(email=None, phone="+4915112345678")
        assert contact.key == CONTACT.key
        assert contact.of_kind("email") == ""


def test_the_key_of_a_user_is_no_key_of_an_address():
    assert user_key(42) == "u:42"
