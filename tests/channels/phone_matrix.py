"""The channels for SMS and calls, for the table of answers."""

from notifications.channels.base import Rendered
from notifications.channels.sms_gateway import SMSGatewayChannel
from notifications.channels.twilio_sms import TwilioSMSChannel
from notifications.channels.twilio_voice import TwilioVoiceChannel
from notifications.models import Delivery, Notification
from tests.channels.http_services import Answer

ACCOUNT = {"account_sid": "AC1", "auth_token": "placeholder", "sender": "+15005550006", "timeout": 0.3}
CREATED = Answer(201, {"sid": "SM1"})


def make_sms_channel(url):
    return TwilioSMSChannel(api_url=url, **ACCOUNT)


def make_voice_channel(url):
    return TwilioVoiceChannel(api_url=url, **ACCOUNT)


def make_gateway_channel(url):
    return SMSGatewayChannel(url=url, body={"to": "{to}", "text": "{text}"}, timeout=0.3)


def make_phone_message(channel):
    delivery = Delivery(pk=1, channel="sms", address="+4915112345678", notification=Notification(pk=1))
    return channel.prepare(delivery, Rendered({"txt": "Some text."}, "en"))
