"""What an SMS gateway reports, and what recipients answer over it."""

from urllib.parse import urlencode

import pytest
from django.test import Client

from notifications.core import clock
from notifications.models import Delivery, NotificationLog, Suppression, TrackingEvent
from notifications.tracking.record import match_late
from tests.phone.conftest import PHONE, PREFIX, Gateway, kinds, send, suppressed

pytestmark = [pytest.mark.django_db, pytest.mark.needs("requests")]


def report(status, **values):
    return {"message": {"id": "g-1"}, "status": status, **values}


@pytest.mark.parametrize(
    ("status", "kind", "causes"),
    [
        ("DELIVRD", "delivered", []),
        ("EXPIRED", "bounced", []),
        (7, "bounced", []),
        ("UNKNOWN", "bounced", [("phone", "hard_bounce")]),
    ],
)
def test_a_status_is_recorded_once_and_may_suppress(status, kind, causes, gateway, service, ann):
    delivery = send(ann, "gateway")
    for _ in range(3):
        assert gateway.post(report(status, why="late")).status_code == 204
    event = TrackingEvent.objects.get()
    assert (event.kind, event.source, event.delivery, event.detail) == (kind, "gateway", delivery, f"{status} late")
    assert suppressed() == causes
    assert NotificationLog.objects.filter(kind="provider_event").count() == 1


def test_a_status_that_is_not_listed_says_nothing(gateway, service, ann):
    send(ann, "gateway")
    for data in (report("ACCEPTD"), report(None), report(True), report(["DELIVRD"]), {}):
        assert gateway.post(data).status_code == 204
    assert kinds() == []


def test_a_form_can_report_as_well(gateway, service, ann, options, site):
    options["gateway"]["callback"] |= {"id": "id"}
    delivery = send(ann, "gateway")
    body = urlencode({"id": "g-1", "status": "DELIVRD"}).encode()
    assert gateway.post(body, kind="application/x-www-form-urlencoded", prefix="").status_code == 204
    assert TrackingEvent.objects.get().delivery == delivery


def test_the_reference_finds_the_delivery_before_its_outcome_is_written(gateway, service, ann):
    delivery = send(ann, "gateway")
    Delivery.objects.update(state="sending", provider_message_id="")
    reference = service.received[-1].json["ref"]
    gateway.post(report("UNKNOWN", ref=reference))
    assert TrackingEvent.objects.get().delivery == delivery
    assert suppressed() == [("phone", "hard_bounce")]


def test_without_a_reference_the_delivery_is_found_later(gateway, service, ann):
    delivery = send(ann, "gateway")
    Delivery.objects.update(state="sending", provider_message_id="")
    gateway.post(report("UNKNOWN", ref="forged", to="0049 151 12345678"))
    assert suppressed() == [("phone", "hard_bounce")]
    assert TrackingEvent.objects.get().delivery is None
    Delivery.objects.update(state="sent", provider_message_id="g-1")
    match_late(clock.now(), lambda: False)
    assert TrackingEvent.objects.get().delivery == delivery


def test_an_unknown_id_is_no_error(gateway):
    assert gateway.post(report("DELIVRD")).status_code == 204
    assert TrackingEvent.objects.get().delivery is None


@pytest.mark.parametrize("signature", ["", "x", "sha256=", "0" * 64])
def test_nothing_is_stored_without_the_right_signature(signature, gateway, service, ann):
    send(ann, "gateway")
    assert gateway.post(report("UNKNOWN"), signature=signature).status_code == 403
    assert Gateway("other").post(report("UNKNOWN")).status_code == 403
    assert (TrackingEvent.objects.count(), Suppression.objects.count()) == (0, 0)


def test_a_gateway_that_does_not_exist_or_does_not_report_looks_like_a_wrong_signature(gateway, options, site):
    assert gateway.post(report("DELIVRD"), name="other").status_code == 403
    assert gateway.post(report("DELIVRD"), name="sms").status_code == 403
    assert Client().get(f"{PREFIX}gateway/gateway/").status_code == 405


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"x" * 70_000, 413), (b"{", 400), (b"[]", 400), (b"\xff", 400), (b"[" * 60_000, 400), (b"{}", 204)],
)
def test_a_body_that_cannot_be_read_is_refused(body, status, gateway):
    assert gateway.post(body).status_code == status


def test_answers_stop_and_start(gateway):
    stop = {"message": {"id": "in-1"}, "from": "4915112345678", "text": "STOP"}
    for _ in range(2):
        assert gateway.post(stop).status_code == 204
    assert suppressed() == [("phone", "stopped")]
    assert Suppression.objects.get().address == f"{PHONE[:3]}***{PHONE[-2:]}"
    gateway.post({"from": PHONE, "text": "start"})
    gateway.post(stop)
    assert suppressed() == []
    gateway.post({"from": PHONE, "text": "Thanks"})
    assert kinds() == ["stopped", "resumed"]


def test_each_stop_without_an_id_counts_and_each_start_only_once(gateway):
    stop, start = ({"from": PHONE, "text": text} for text in ("STOP", "START"))
    for _ in range(2):
        gateway.post(stop)
        assert suppressed() == [("phone", "stopped")]
    gateway.post(start)
    assert suppressed() == []
    gateway.post(stop)
    gateway.post(start)
    assert suppressed() == [("phone", "stopped")]
    assert kinds() == ["stopped", "resumed", "stopped"]


def test_stop_and_start_that_name_the_same_message_both_count(gateway):
    for text, causes in (("STOP", [("phone", "stopped")]), ("START", [])):
        gateway.post({"message": {"id": "g-1"}, "from": PHONE, "text": text})
        assert suppressed() == causes


@pytest.mark.parametrize("text", ["", "STOP", "Fire in Hall 3."])
def test_a_report_that_contains_the_text_of_the_message_is_no_answer(text, gateway, service, ann):
    send(ann, "gateway")
    gateway.post(report("DELIVRD", text=text, **{"from": PHONE}))
    assert (kinds(), suppressed()) == (["delivered"], [])


def test_a_stop_from_a_number_that_is_not_international_is_logged(gateway, caplog):
    gateway.post({"from": "015112345678", "text": "STOP"})
    assert suppressed() == []
    assert "gateway reports the answer STOP from a number that is not in international form" in caplog.text
    assert "1234567" not in caplog.text
