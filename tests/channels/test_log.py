"""The log channel."""

import logging

import pytest

from notifications.channels import create_channel
from notifications.channels.base import Rendered
from notifications.channels.log import LogChannel
from notifications.manager import NotificationManager
from notifications.models import Delivery
from notifications.testing import capture_notifications
from notifications.testing.contract import ChannelContract
from tests.factories import UserFactory


class TestContract(ChannelContract):
    def make_channel(self):
        return LogChannel()


@pytest.mark.django_db
def test_the_text_goes_to_the_log(caplog):
    caplog.set_level("INFO", "notifications.channel.log")
    user = UserFactory()
    with capture_notifications() as captured:
        NotificationManager.send_notification("The lift\nis out.", channels=["log"], recipients=user)
        captured.deliver()
    [record] = [record for record in caplog.records if record.name == "notifications.channel.log"]
    assert (record.getMessage(), record.levelno) == (f"u:{user.pk}: The lift is out.", logging.INFO)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\x0b", "\x85", "\u2028", "\x1b[2K\x1b[1A", "\x08\x08", "\0"])
def test_no_text_can_forge_an_entry(end):
    line = LogChannel().prepare(Delivery(recipient_key="u:1"), Rendered({"txt": f"one{end}INFO forged"}))
    assert line.isprintable()
    assert line.startswith("u:1: one")


def test_logger_and_level_are_options(settings, caplog):
    settings.NOTIFICATIONS = {"CHANNELS": {"log": {"OPTIONS": {"logger": "shop.audit", "level": "warning"}}}}
    [receipt] = create_channel("log").send(["a line"])
    assert receipt.provider == "shop.audit"
    assert [(record.name, record.levelname) for record in caplog.records] == [("shop.audit", "WARNING")]


def test_percent_signs_are_plain_text(caplog):
    list(LogChannel(level="WARNING").send(["100 %s"]))
    assert caplog.records[0].getMessage() == "100 %s"


def test_an_unknown_level_is_an_error():
    with pytest.raises(KeyError):
        LogChannel(level="loud")
