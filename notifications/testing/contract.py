"""Tests of the contract of a channel, for authors of channels::

    class TestPagerChannel(ProviderContract):
        def make_channel(self):
            return PagerChannel(url=self.pager.url)

        def break_provider(self, channel):
            self.pager.stop()

The tests require pytest-django and create deliveries in the real tables.
"""

from collections.abc import Sequence
from types import GeneratorType
from typing import Any

import pytest

from notifications.attachments import Attachment
from notifications.channels import BaseChannel
from notifications.channels.base import Rendered
from notifications.core.addresses import hash_address
from notifications.core.clock import now
from notifications.events import NotificationPriority
from notifications.models import Cluster, Delivery, Notification
from notifications.outcomes import Receipt, Verdict

ADDRESSES = {"email": "{}@example.com", "phone": "+491511234567{}", "url": "https://example.com/{}", "": "", "user": ""}
TEXTS = {"subject.txt": "A subject", "txt": "Some text.\n", "html": "<p>Some text.</p>\n"}
FILES = (Attachment("Grüße.txt", "Grüße\n"), Attachment("dot.bin", b".\r\n\x00\xff"))


@pytest.mark.django_db
class ChannelContract:
    """Tests for any channel. Inherit from this class and implement ``make_channel()``. Its provider must accept all
    messages."""

    def make_channel(self) -> BaseChannel:
        raise NotImplementedError

    def address(self, number: int) -> str:
        """Return a valid address that the provider accepts.

        Override for kinds other than email, phone, url, user and none.
        """
        kind = self.make_channel().address_kind
        return ADDRESSES[kind].format(number)

    @pytest.fixture
    def channel(self) -> Any:
        channel = self.make_channel()
        yield channel
        channel.close()

    @pytest.fixture
    def deliveries(self, django_user_model: Any) -> list[Delivery]:
        notification = Notification.objects.create(
            cluster=Cluster.objects.default(),
            event="message",
            priority=NotificationPriority.MEDIUM,
            context={"message": "Some text."},
            created_at=now(),
        )
        return [self._delivery(notification, number, django_user_model) for number in (1, 2, 3)]

    def _delivery(self, notification: Notification, number: int, users: Any) -> Delivery:
        user = users.objects.create(**{users.USERNAME_FIELD: f"contract-{number}"})
        address = self.address(number)
        return Delivery.objects.create(
            notification=notification,
            channel="contract",
            recipient=user,
            recipient_key=f"u:{user.pk}",
            address=address,
            address_hash=hash_address(address),
        )

    def messages(self, channel: BaseChannel, deliveries: Sequence[Delivery]) -> list[Any]:
        parts = {part: TEXTS[part] for part in (*channel.required_parts, *channel.optional_parts)}
        rendered = Rendered(parts, "en", FILES if channel.takes_attachments else ())
        return [channel.prepare(delivery, rendered) for delivery in deliveries]

    def test_it_declares_its_properties(self, channel: BaseChannel) -> None:
        assert isinstance(channel, BaseChannel)
        assert isinstance(channel.address_kind, str)
        assert channel.group_size >= 1
        flags = channel.idempotent, channel.transactional, channel.takes_attachments
        assert all(isinstance(flag, bool) for flag in flags)
        assert {*channel.required_parts, *channel.optional_parts} <= TEXTS.keys()

    def test_preparing_is_pure(
        self, channel: BaseChannel, deliveries: list[Delivery], django_assert_num_queries: Any
    ) -> None:
        before = [vars(delivery).copy() for delivery in deliveries]
        with django_assert_num_queries(0):
            first, second = self.messages(channel, deliveries), self.messages(channel, deliveries)
        assert [type(message) for message in first] == [type(message) for message in second]
        assert [vars(delivery) for delivery in deliveries] == before

    def test_each_message_gets_one_receipt_as_it_is_known(
        self, channel: BaseChannel, deliveries: list[Delivery]
    ) -> None:
        messages = self.messages(channel, deliveries)
        result = channel.send(messages)
        assert isinstance(result, GeneratorType), "send() must yield, so that an exception leaves only the rest unknown"
        receipts = list(result)
        assert all(isinstance(receipt, Receipt) for receipt in receipts)
        assert sorted(id(receipt.message) for receipt in receipts) == sorted(id(message) for message in messages)
        assert {receipt.verdict for receipt in receipts} == {Verdict.ACCEPTED}
        assert all(receipt.provider for receipt in receipts), "a receipt must name the provider"

    def test_an_empty_group_is_not_an_error(self, channel: BaseChannel) -> None:
        assert list(channel.send([])) == []

    def test_it_can_be_used_again_after_closing(self, channel: BaseChannel, deliveries: list[Delivery]) -> None:
        channel.close()
        channel.close()
        [receipt] = channel.send(self.messages(channel, deliveries[:1]))
        assert receipt.verdict is Verdict.ACCEPTED


class ProviderContract(ChannelContract):
    """Tests for a channel with a provider that can fail."""

    def break_provider(self, channel: BaseChannel) -> None:
        """Make the provider unreachable for the rest of the test."""
        raise NotImplementedError

    def test_an_unreachable_provider_is_reported_with_its_error(
        self, channel: BaseChannel, deliveries: list[Delivery]
    ) -> None:
        messages = self.messages(channel, deliveries)
        self.break_provider(channel)
        receipts = list(channel.send(messages))
        assert len(receipts) == len(messages), "one failure must not affect the others"
        assert {receipt.verdict for receipt in receipts} <= {Verdict.TEMPORARY, Verdict.UNKNOWN}
        assert all(receipt.error for receipt in receipts)
