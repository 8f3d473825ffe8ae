"""The suppression gate: nothing is sent to a suppressed address until the suppression is lifted."""

import smtplib

import pytest
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.locmem import EmailBackend

from notifications.core.clock import now
from notifications.manager import NotificationManager
from notifications.models import Cluster, Delivery, NotificationLog, Suppression
from notifications.models.suppression import MAX_PRELOADED, SuppressionLookup, hash_normalized
from notifications.recipients import Address
from notifications.testing import capture_notifications
from tests.factories import ClusterFactory, UserFactory, UserSettingsFactory
from tests.mailers import use_backend
from tests.shop.notification_events import ShopEvents

pytestmark = pytest.mark.django_db


def suppress(address, kind="email"):
    Suppression.objects.suppress([(kind, address)], Suppression.Cause.HARD_BOUNCE, now())


def send(*recipients, event=ShopEvents.NEWSLETTER, context=None):
    return NotificationManager.send(event, recipients, None, context)


def test_a_suppressed_address_is_dropped_in_any_spelling():
    suppress("Gone@Example.com")
    result = send(UserFactory(email="gone@example.COM"), Address(email="gone@example.com"), UserFactory())
    assert (result.queued, dict(result.reasons), bool(result)) == (1, {"suppressed": 2}, False)
    assert "suppressed" in NotificationLog.objects.first().error_message


def test_critical_events_are_sent_on_other_channels_only():
    user = UserFactory()
    suppress(user.email)
    result = send(user, event=ShopEvents.STORE_ON_FIRE, context={"place": "hall"})
    assert (result.queued, dict(result.reasons)) == (1, {"suppressed": 1})
    assert Delivery.objects.get().channel == "app"


def test_the_same_text_as_another_kind_of_address_is_another_address():
    suppress("gone@example.com", kind="url")
    assert send(UserFactory(email="gone@example.com")).queued == 1


def test_queued_deliveries_are_rechecked():
    user = UserFactory()
    with capture_notifications() as captured:
        send(user)
    suppress(user.email)
    assert captured.deliver() == {"dropped": 1}


def test_every_cause_is_about_the_mailbox_or_suppresses_the_account_too():
    """A new cause needs a decision: may :func:`~notifications.core.addresses.choose_address` reject the address?"""
    assert set(Suppression.Cause.values) == {
        *("hard_bounce", "repeated", "blocked", "complaint"),
        # The answer STOP concerns the number that sent it; a person who adds an address means this address.
        *("stopped", "manual"),
    }


def test_a_suppression_can_be_for_one_cluster_only():
    user = UserFactory()
    one, other = ClusterFactory(members=[user]), ClusterFactory(members=[user])
    Suppression.objects.suppress([("email", user.email)], Suppression.Cause.COMPLAINT, now(), one.pk)
    results = [NotificationManager.send(ShopEvents.NEWSLETTER, user, cluster) for cluster in (one, other)]
    assert [(result.queued, result.dropped) for result in results] == [(0, 1), (1, 0)]


def test_a_batch_of_several_clusters_is_rechecked_by_cluster():
    user = UserFactory()
    clusters = [ClusterFactory(members=[user]) for _ in range(2)]
    with capture_notifications() as captured:
        for cluster in clusters:
            NotificationManager.send(ShopEvents.NEWSLETTER, user, cluster)
    Suppression.objects.suppress([("email", user.email)], Suppression.Cause.COMPLAINT, now(), clusters[0].pk)
    assert captured.deliver() == {"dropped": 1, "sent": 1}


def test_lifting_a_suppression_allows_mail_again():
    user, boss = UserFactory(), UserFactory()
    suppress(user.email)
    assert Suppression.objects.lift(boss, " the mailbox exists again ", now()) == 1
    assert send(user).queued == 1
    [row] = Suppression.objects.all()
    assert (row.is_active, row.refusals, row.lifted_by, row.lift_note) == (False, 0, boss, "the mailbox exists again")


def test_a_suppression_is_not_lifted_without_a_reason():
    with pytest.raises(ValueError, match="reason"):
        Suppression.objects.lift(None, " ", now())


def test_a_lifted_suppression_can_return_and_counts_refusals_from_the_start():
    Suppression.objects.count_refusal("email", "full@example.com", now())
    suppress("gone@example.com")
    assert Suppression.objects.lift(None, "repaired", now()) == 2
    suppress("gone@example.com")
    Suppression.objects.count_refusal("email", "full@example.com", now())
    rows = Suppression.objects.order_by("reason").values_list("reason", "is_active", "refusals", "lift_note")
    assert list(rows) == [("hard_bounce", True, 0, "repaired"), ("repeated", False, 1, "repaired")]


class Bounces(BaseEmailBackend):
    def send_messages(self, messages):
        raise smtplib.SMTPRecipientsRefused({messages[0].to[0]: (550, b"5.1.1 no such mailbox")})


def test_a_refused_mailbox_is_suppressed_with_its_address_masked(settings):
    use_backend(settings, f"{__name__}.Bounces")
    user = UserFactory(email="gone@example.com")
    with capture_notifications() as captured:
        send(user)
    assert captured.deliver() == {"dead": 1}
    assert Suppression.objects.get().address == "g***@example.com"
    assert not send(user)


TYPO = "ann@exmaple.com"


class BouncesTypos(EmailBackend):
    def send_messages(self, messages):
        if messages[0].to == [TYPO]:
            raise smtplib.SMTPRecipientsRefused({TYPO: (550, b"5.1.1 no such mailbox")})
        return super().send_messages(messages)


@pytest.fixture
def user_with_typo(settings):
    """Return a user with a mistyped address in their settings."""
    use_backend(settings, f"{__name__}.BouncesTypos")
    user = UserFactory()
    UserSettingsFactory(user=user, cluster=Cluster.objects.default(), addresses={"email": TYPO})
    return user


def mails():
    return list(Delivery.objects.filter(channel="email").order_by("pk").values_list("address", "state"))


def test_the_mail_that_finds_a_typing_error_goes_to_the_account(user_with_typo):
    with capture_notifications() as captured:
        send(user_with_typo, event=ShopEvents.STORE_ON_FIRE, context={"place": "hall"})
    assert captured.deliver() == {"dead": 1, "sent": 2}
    assert mails() == [(TYPO, "dead"), (user_with_typo.email, "sent")]
    [note] = NotificationLog.objects.filter(kind="note")
    assert (note.reason, note.address, note.recipient) == ("account_address", "a***@exmaple.com", user_with_typo)


def test_a_mail_that_was_queued_before_goes_to_the_account_too(user_with_typo):
    with capture_notifications() as captured:
        send(user_with_typo)
    suppress(TYPO)
    assert captured.deliver() == {"dropped": 1, "sent": 1}
    assert mails() == [(TYPO, "dropped"), (user_with_typo.email, "sent")]


def test_mail_is_not_sent_to_an_account_with_a_suppressed_address(user_with_typo):
    with capture_notifications() as captured:
        send(user_with_typo)
    suppress(user_with_typo.email)
    assert captured.deliver() == {"dead": 1}


def test_suppressions_take_one_statement_for_any_number_of_addresses(django_assert_num_queries):
    with django_assert_num_queries(1):
        pairs = [("email", f"u{number}@example.com") for number in range(500)]
        assert Suppression.objects.find_suppressed(pairs) == frozenset()
    with django_assert_num_queries(0):
        Suppression.objects.find_suppressed([])


@pytest.mark.parametrize("count", [3, MAX_PRELOADED, MAX_PRELOADED + 1])
def test_few_suppressions_are_read_once_and_many_for_each_chunk(count, django_assert_num_queries):
    addresses = [f"bad{number}@example.com" for number in range(count)]
    Suppression.objects.suppress([("email", address) for address in addresses], Suppression.Cause.HARD_BOUNCE, now())
    looked_up = [*addresses[:2], *(f"good{number}" for number in range(MAX_PRELOADED))]
    hashes = {hash_normalized(address) for address in looked_up}
    suppressed = SuppressionLookup()
    with django_assert_num_queries(1 if count <= MAX_PRELOADED else 3):
        for _chunk in range(2):
            found = {address_hash for _kind, address_hash, _cluster in suppressed.find(hashes)}
            assert found & hashes == {hash_normalized(address) for address in addresses[:2]}


def test_for_few_recipients_only_their_suppressions_are_read():
    suppress("bad@example.com")
    assert SuppressionLookup().find({hash_normalized("good@example.com")}) == frozenset()
