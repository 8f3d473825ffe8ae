"""The tests of the contract fail for each channel that violates it."""

import pytest

from notifications.channels import BaseChannel
from notifications.core.addresses import hash_address
from notifications.events import NotificationPriority
from notifications.models import Cluster, Delivery, InboxItem, Notification
from notifications.outcomes import Receipt, Verdict
from notifications.testing.contract import ChannelContract, ProviderContract
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db


class Good(BaseChannel):
    def prepare(self, delivery, rendered):
        return [delivery.recipient_key, rendered.text]

    def send(self, messages):
        for message in messages:
            yield Receipt(message, Verdict.ACCEPTED, provider="good")


class AnswersInAList(Good):
    def send(self, messages):
        return list(super().send(messages))


class ForgetsOne(Good):
    def send(self, messages):
        yield from list(super().send(messages))[1:]


class AnswersTwice(Good):
    def send(self, messages):
        yield from super().send(messages)
        yield from super().send(messages)


class AnswersForACopy(Good):
    def send(self, messages):
        for message in messages:
            yield Receipt(list(message), Verdict.ACCEPTED, provider="copy")


class NamesNoProvider(Good):
    def send(self, messages):
        for message in messages:
            yield Receipt(message, Verdict.ACCEPTED)


class WritesWhilePreparing(Good):
    def prepare(self, delivery, rendered):
        InboxItem.objects.count()
        return super().prepare(delivery, rendered)


class ChangesTheDelivery(Good):
    def prepare(self, delivery, rendered):
        delivery.attempts += 1
        return super().prepare(delivery, rendered)


class TakesNoGroup(Good):
    group_size = 0


class WantsAnUnknownPart(Good):
    required_parts = ("pdf",)


class IsNoChannel:
    address_kind, group_size, idempotent, transactional = "", 1, False, False
    required_parts, optional_parts = ("txt",), ()


class StaysClosed(Good):
    closed = False

    def close(self):
        self.closed = True

    def send(self, messages):
        for message in messages:
            yield Receipt(message, Verdict.UNKNOWN if self.closed else Verdict.ACCEPTED, provider="good")


class SwallowsTheFailure(Good):
    """Its provider is unreachable, but it reports success."""


class FailsWithoutAWord(Good):
    broken = False

    def send(self, messages):
        for message in messages:
            yield Receipt(message, Verdict.TEMPORARY if self.broken else Verdict.ACCEPTED, provider="good")


def contract_of(channel_class):
    class Contract(ProviderContract):
        def make_channel(self):
            return channel_class()

        def break_provider(self, channel):
            channel.broken = True

    return Contract()


@pytest.fixture
def deliveries():
    notification = Notification.objects.create(
        cluster=Cluster.objects.default(), event="message", priority=NotificationPriority.MEDIUM,
        created_at="2026-03-29T12:00Z",
    )  # fmt: skip
    row = {"notification": notification, "channel": "x", "address_hash": hash_address("")}
    users = UserFactory.create_batch(3)
    return [Delivery.objects.create(**row, recipient_key=f"u:{user.pk}", recipient=user) for user in users]


@pytest.fixture
def breaches(deliveries, django_assert_num_queries):
    """Return the names of the contract's tests that fail for a channel."""

    def breaches(channel_class):
        contract, failed = contract_of(channel_class), []
        tests = {
            "properties": lambda channel: contract.test_it_declares_its_properties(channel),
            "pure": lambda channel: contract.test_preparing_is_pure(channel, deliveries, django_assert_num_queries),
            "receipts": lambda channel: contract.test_each_message_gets_one_receipt_as_it_is_known(channel, deliveries),
            "nothing": lambda channel: contract.test_an_empty_group_is_not_an_error(channel),
            "closing": lambda channel: contract.test_it_can_be_used_again_after_closing(channel, deliveries),
            "unreachable": lambda channel: contract.test_an_unreachable_provider_is_reported_with_its_error(
                channel, deliveries
            ),
        }
        for name, test in tests.items():
            try:
                test(channel_class())
            except (AssertionError, ValueError, pytest.fail.Exception):
                failed.append(name)
        return failed

    return breaches


@pytest.mark.parametrize(
    ("channel_class", "breach"),
    [
        (AnswersInAList, "receipts"),
        (ForgetsOne, "receipts"),
        (AnswersTwice, "receipts"),
        (AnswersForACopy, "receipts"),
        (NamesNoProvider, "receipts"),
        (WritesWhilePreparing, "pure"),
        (ChangesTheDelivery, "pure"),
        (TakesNoGroup, "properties"),
        (WantsAnUnknownPart, "properties"),
        (StaysClosed, "closing"),
        (SwallowsTheFailure, "unreachable"),
        (FailsWithoutAWord, "unreachable"),
    ],
)
def test_a_breach_is_found(breaches, channel_class, breach):
    if channel_class is WantsAnUnknownPart:
        with pytest.raises(AssertionError):
            contract_of(channel_class).test_it_declares_its_properties(channel_class())
        return
    assert breach in breaches(channel_class)


def test_another_object_is_not_a_channel():
    with pytest.raises(AssertionError):
        contract_of(IsNoChannel).test_it_declares_its_properties(IsNoChannel())


def test_make_channel_and_break_provider_must_be_implemented():
    with pytest.raises(NotImplementedError):
        ChannelContract().make_channel()
    with pytest.raises(NotImplementedError):
        ProviderContract().break_provider(Good())
