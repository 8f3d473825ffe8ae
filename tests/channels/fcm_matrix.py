"""The channel for phones in the table of answers: with access tokens of its own, so that it asks for none."""

from itertools import count

from notifications.channels.fcm import FCMChannel, FCMMessage, make_content
from notifications.devices import register_device
from notifications.events import NotificationPriority
from tests.channels.fcm_service import make_account
from tests.factories import UserFactory

numbers = count()


class KeptTokens:
    def get(self):
        return "ya29.kept"

    def renew(self):
        pass


def make_fcm_channel(url):
    channel = FCMChannel(make_account(url), timeout=0.5, url=url)
    channel.tokens = KeptTokens()
    return channel


def make_fcm_message(channel):
    user = UserFactory()
    register_device(user, f"token-{next(numbers)}", "android")
    content = make_content("Title", "Text", NotificationPriority.MEDIUM, "tag", {}, ("https://example.com/", ""))
    return FCMMessage(user.pk, content, None)
