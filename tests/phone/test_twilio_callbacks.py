"""What Twilio reports about messages, what recipients answer, and the keys they press during a call."""

import threading
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest
from django.db import connection
from django.test import Client
from django.urls import set_script_prefix

from notifications.core.tokens import make_token
from notifications.manager import NotificationManager
from notifications.models import Acknowledgement, Cluster, NotificationLog, Suppression, TrackingEvent
from notifications.phone.callbacks import has_twilio_signature, sign_for_twilio
from notifications.testing import capture_notifications
from tests.channels.http_services import Answer
from tests.factories import UserFactory, UserSettingsFactory
from tests.phone.conftest import PHONE, PREFIX, SID, TOKEN, Alarm, Twilio, kinds, refreshed, send, suppressed

pytestmark = [pytest.mark.django_db, pytest.mark.needs("requests")]
STOPPED = [("phone", "stopped")]


class TestSignature:
    """The examples are those of Twilio's own libraries, with the token 12345."""

    FORM = [
        ("To", "+18005551212"), ("Digits", "1234"), ("CallSid", "CA1234567890ABCDE"), ("From", "+14158675309"),
        ("Caller", "+14158675309"),
    ]  # fmt: skip
    URL = "https://mycompany.com/myapp.php?foo=1&bar=2"

    def test_the_published_examples_have_their_signatures(self):
        assert sign_for_twilio("12345", self.URL, self.FORM) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="
        repeated = [("Digits", "5678"), ("Digits", "1234"), ("Digits", "1234")]
        form = [("Sid", "CA123"), ("SidAccount", "AC123"), *repeated]
        assert sign_for_twilio("12345", self.URL, form) == "IK+Dwps556ElfBT0I3Rgjkr1wJU="

    @pytest.mark.parametrize("host", ["mycompany.com", "mycompany.com:443"])
    def test_the_port_may_be_signed_or_not(self, host):
        for signed in ("mycompany.com", "mycompany.com:443"):
            signature = sign_for_twilio("12345", self.URL.replace("mycompany.com", signed), self.FORM)
            assert has_twilio_signature(signature, ["x", "12345"], self.URL.replace("mycompany.com", host), self.FORM)

    @pytest.mark.parametrize(
        "signature", ["", "x", "RSOYDt4T1cUTdK1PDd93/VVr8B8", "RSOYDt4T1cUTdK1PDd93/VVr8B9=", "王"]
    )
    def test_another_signature_is_wrong(self, signature):
        assert not has_twilio_signature(signature, ["12345"], self.URL, self.FORM)
        right = sign_for_twilio("12345", self.URL, self.FORM)
        assert not has_twilio_signature(right, [], self.URL, self.FORM)
        assert not has_twilio_signature(right, ["12345"], self.URL.replace("https", "http"), self.FORM)


class TestStatus:
    @pytest.mark.parametrize(
        ("status", "code", "kind", "causes"),
        [
            ("delivered", "", "delivered", []),
            ("undelivered", "30003", "bounced", []),
            ("undelivered", "30005", "bounced", [("phone", "hard_bounce")]),
            ("undelivered", "30006", "bounced", []),
            ("undelivered", "30004", "bounced", [("phone", "blocked")]),
            ("failed", "21610", "rejected", STOPPED),
            ("failed", "30008", "rejected", []),
            ("delivered", "30005", "delivered", []),
        ],
    )
    def test_a_final_status_is_recorded_and_may_suppress(self, status, code, kind, causes, twilio, service, ann):
        delivery = send(ann)
        fields = {"ErrorCode": code} if code else {}
        for _ in range(3):
            assert twilio.report(service, status, **fields).status_code == 204
        event = TrackingEvent.objects.get()
        assert (event.kind, event.source, event.delivery, event.is_first) == (kind, "Twilio", delivery, True)
        assert event.provider_message_id == refreshed(delivery).provider_message_id == "SM1"
        assert suppressed() == causes
        rows = NotificationLog.objects.filter(kind="provider_event")
        assert [row.error_message for row in rows] == [f"{kind}: {status} {code}".strip()]

    def test_a_late_status_does_not_go_back(self, twilio, service, ann):
        send(ann)
        for status in ("delivered", "sent", "sending", "queued", "accepted", "read", "odd", ""):
            assert twilio.report(service, status).status_code == 204
        assert kinds() == ["delivered"]

    def test_it_may_come_before_the_outcome_is_written(self, twilio, site, service, ann):
        delivery = send(ann)
        service_form = service.received[0].form
        type(delivery).objects.filter(pk=delivery.pk).update(state="sending", provider_message_id="")
        assert service_form["StatusCallback"].startswith("https://shop.example.com/notifications/phone/twilio/status/")
        twilio.report(service, "undelivered", ErrorCode="30005")
        assert TrackingEvent.objects.get().delivery == delivery
        assert suppressed() == [("phone", "hard_bounce")]

    def test_a_delivery_that_does_not_exist_any_more_is_no_error(self, twilio, service, ann):
        send(ann).notification.delete()
        assert twilio.report(service, "undelivered", ErrorCode="30005").status_code == 204
        assert TrackingEvent.objects.get().delivery is None
        assert suppressed() == [("phone", "hard_bounce")]

    def test_the_next_message_is_not_sent_to_a_wrong_number(self, twilio, service, ann):
        send(ann)
        twilio.report(service, "undelivered", ErrorCode="30005")
        assert send_dropped(ann)

    def test_nothing_is_stored_without_the_right_signature(self, twilio, service, ann):
        send(ann)
        path = urlsplit(service.received[0].form["StatusCallback"]).path
        fields = {"AccountSid": SID, "MessageSid": "SM1", "MessageStatus": "undelivered", "ErrorCode": "30005"}
        other = f"{path[:-2]}{'y' if path[-2] == 'x' else 'x'}/"
        assert Twilio("other").post(path, fields).status_code == 403
        assert twilio.post(path, fields, signed_fields={**fields, "ErrorCode": ""}).status_code == 403
        assert twilio.post(path, {**fields, "AccountSid": "AC1"}).status_code == 403
        assert twilio.post(path, {**fields, "AccountSid": ""}).status_code == 403
        assert twilio.post(path, fields, signed_url="https://evil.example" + path).status_code == 403
        assert Client().post(path, fields).status_code == 403
        # The signature is right, but the address was never given to Twilio.
        assert twilio.post(other, fields).status_code == 403
        assert twilio.post(f"{PREFIX}twilio/status/{make_token('twilio key', 1)}/", fields).status_code == 403
        assert Client().get(path).status_code == 405
        assert (TrackingEvent.objects.count(), Suppression.objects.count()) == (0, 0)

    def test_a_body_that_is_too_large_or_no_form_is_refused(self, twilio, service, ann):
        send(ann)
        path = urlsplit(service.received[0].form["StatusCallback"]).path
        fields = {"AccountSid": SID, "MessageSid": "SM1", "MessageStatus": "delivered"}
        assert twilio.post(path, {**fields, "x": "x" * 70_000}).status_code == 413
        assert twilio.post(path, {**fields, **{f"x{number}": "x" for number in range(300)}}).status_code == 413
        kind = "application/x-www-form-urlencoded"
        assert Client().post(path, b"\xff\xfe", content_type=kind).status_code == 413
        assert not TrackingEvent.objects.exists()

    def test_calls_are_reported_too(self, twilio, service, ann):
        delivery = send(ann, "voice")
        for status in ("ringing", "no-answer", "completed"):
            assert twilio.report(service, status, sid="CA1", SipResponseCode="487").status_code == 204
        assert list(delivery.tracking_events.order_by("pk").values_list("kind", "detail")) == [
            ("bounced", "no-answer 487"),
            ("delivered", "completed 487"),
        ]
        assert suppressed() == []

    def test_the_address_of_the_site_counts_and_not_the_headers_of_the_request(self, twilio, service, site, ann):
        site.NOTIFICATIONS = {**site.NOTIFICATIONS, "BASE_URL": "https://shop.example.com:8443/"}
        send(ann)
        twilio.base = "https://shop.example.com:8443"
        assert twilio.report(service, "delivered").status_code == 204
        twilio.base = "https://evil.example"
        response = twilio.report(service, "undelivered", host="evil.example")
        assert response.status_code == 403
        assert kinds() == ["delivered"]


@pytest.mark.parametrize("base", ["https://shop.example.com", "https://shop.example.com/app"])
def test_a_site_may_be_below_a_path(base, twilio, service, site, ann):
    """The path is a part of the address of the site, or of the paths that the site makes."""
    site.NOTIFICATIONS = {**site.NOTIFICATIONS, "BASE_URL": base}
    site.FORCE_SCRIPT_NAME = "/app"
    set_script_prefix("/" if base.endswith("/app") else "/app/")
    try:
        send(ann)
        form = service.received[0].form
        assert form["StatusCallback"].startswith("https://shop.example.com/app/notifications/phone/")
        path = urlsplit(form["StatusCallback"]).path.removeprefix("/app")
        fields = {"AccountSid": SID, "MessageSid": "SM1", "MessageStatus": "delivered"}
        assert twilio.post(path, fields, signed_url=form["StatusCallback"]).status_code == 204
    finally:
        set_script_prefix("/")


def send_dropped(user):
    result = NotificationManager.send(Alarm.FIRE, user, context={"place": "Hall 3"}, channels=["sms"])
    return result.reasons == {"suppressed": 1}


@pytest.mark.django_db(transaction=True)
def test_callbacks_at_the_same_time_are_recorded_once(site, service, ann):
    send(ann)
    answers = []
    start = threading.Barrier(4)

    def report():
        start.wait()
        try:
            answers.append(Twilio().report(service, "undelivered", ErrorCode="30005").status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=report) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [204] * 4
    assert kinds() == ["bounced"]
    assert suppressed() == [("phone", "hard_bounce")]


class TestAnswers:
    def test_stop_suppresses_the_number_in_all_clusters_and_start_lifts_that(self, twilio, service, ann):
        assert twilio.answer("Stop", "SMin1").content == b"<Response></Response>"
        row = Suppression.objects.get()
        assert (row.kind, row.reason, row.cluster, row.address) == ("phone", "stopped", None, "+49***78")
        assert send_dropped(ann)
        twilio.answer(" START ", "SMin2")
        assert suppressed() == []
        row.refresh_from_db()
        assert row.lift_note == "The recipient answered START."
        assert send(ann).state == "sent"

    def test_start_lifts_no_other_suppression(self, twilio, service, ann):
        send(ann)
        twilio.report(service, "undelivered", ErrorCode="30005")
        for sid, text in (("SMin1", "STOP"), ("SMin2", "START")):
            twilio.answer(text, sid)
        assert suppressed() == [("phone", "hard_bounce")]

    def test_an_answer_that_is_handed_over_again_changes_nothing(self, twilio):
        twilio.answer("STOP", "SMin1")
        twilio.answer("START", "SMin2")
        twilio.answer("STOP", "SMin1")
        assert suppressed() == []
        twilio.answer("STOP", "SMin3")
        twilio.answer("START", "SMin2")
        assert suppressed() == STOPPED
        assert kinds() == ["stopped", "resumed", "stopped"]

    def test_what_twilio_has_understood_counts(self, twilio):
        twilio.answer("Genug jetzt", OptOutType="STOP")
        assert suppressed() == STOPPED
        assert b"Message" not in twilio.answer("HELP", OptOutType="HELP").content

    def test_help_is_answered(self, twilio, site):
        response = twilio.answer("help!")
        assert response.headers["Content-Type"].startswith("text/xml")
        assert ElementTree.fromstring(response.content)[0].text == "Shop & Co: call 110."

    @pytest.mark.parametrize(
        "fields", [{"Body": "", "NumMedia": "1"}, {"Body": "Please do not stop"}, {"From": "12345"}, {"MessageSid": ""}]
    )
    def test_other_messages_change_nothing(self, fields, twilio):
        assert twilio.answer("STOP", **fields).content == b"<Response></Response>"
        assert (suppressed(), kinds()) == ([], [])

    def test_a_wrong_signature_changes_nothing(self, site):
        assert Twilio("other").answer("STOP").status_code == 403
        assert (suppressed(), kinds()) == ([], [])

    def test_stop_that_twilio_knows_of_is_noticed_when_a_message_is_sent(self, twilio, service, ann):
        service.answers = [Answer(400, {"code": 21610, "message": "Attempt to send to unsubscribed recipient"})]
        with capture_notifications() as captured:
            send(ann, deliver=False)
        assert captured.deliver() == {"dead": 1}
        assert suppressed() == STOPPED
        twilio.answer("START")
        assert suppressed() == []


class TestKeys:
    @pytest.fixture
    def call(self, twilio, service, ann):
        delivery = send(ann, "voice")
        twiml = ElementTree.fromstring(service.received[-1].form["Twiml"])
        url = urlsplit(twiml[0].attrib["action"])

        def press(digits, path=f"{url.path}?{url.query}", by=twilio):
            return by.post(path, {"AccountSid": SID, "CallSid": "CA1", "To": PHONE, "Digits": digits})

        press.delivery = delivery
        return press

    def test_the_key_acknowledges_once(self, call, ann):
        for _ in range(2):
            response = call("1")
            assert ElementTree.fromstring(response.content)[0].text == "Thank you. The message is acknowledged."
        acknowledged = Acknowledgement.objects.get()
        assert (acknowledged.user, acknowledged.notification) == (ann, call.delivery.notification)

    def test_another_key_is_asked_for_again(self, call):
        twiml = ElementTree.fromstring(call("5").content)
        assert twiml[0].tag == "Gather"
        assert twiml[0][0].text == "Press 1 to acknowledge this message."
        url = urlsplit(twiml[0].attrib["action"])
        call("1", f"{url.path}?{url.query}")
        assert Acknowledgement.objects.count() == 1

    def test_nothing_is_acknowledged_without_the_right_signature(self, call):
        assert call("1", by=Twilio("other")).status_code == 403
        assert call("1", f"{PREFIX}twilio/key/{make_token('twilio status', call.delivery.pk)}/").status_code == 403
        assert not Acknowledgement.objects.exists()

    def test_somebody_who_has_left_cannot_acknowledge(self, call, ann):
        type(ann).objects.filter(pk=ann.pk).update(is_active=False)
        assert b"You cannot acknowledge this message." in call("1").content
        call.delivery.notification.delete()
        assert b"You cannot acknowledge this message." in call("1").content

    def test_it_speaks_the_language_of_the_call(self, twilio, service, site, db):
        user = UserFactory()
        UserSettingsFactory(user=user, cluster=Cluster.objects.default(), addresses={"voice": PHONE}, language="de")
        send(user, "voice")
        twiml = ElementTree.fromstring(service.received[-1].form["Twiml"])
        assert twiml[0][0].attrib["language"] == "de-DE"
        url = urlsplit(twiml[0].attrib["action"])
        response = twilio.post(f"{url.path}?{url.query}", {"AccountSid": SID, "CallSid": "CA1", "Digits": "1"})
        assert ElementTree.fromstring(response.content)[0].attrib == {"language": "de-DE"}


def test_the_token_is_in_no_log_and_no_row(twilio, service, ann, caplog):
    caplog.set_level("DEBUG")
    send(ann)
    twilio.report(service, "delivered")
    rows = [str(row) for row in NotificationLog.objects.values_list()]
    assert TOKEN not in caplog.text + "".join(rows)
