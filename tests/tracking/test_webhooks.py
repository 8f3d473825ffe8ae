"""Webhooks of email services through anymail's own views, with signatures: events, suppressions, and no repeats."""

import sys
from datetime import timedelta
from types import SimpleNamespace

import pytest

from notifications import signals
from notifications.core import clock
from notifications.models import Delivery, NotificationLog, Suppression, TrackingEvent, TrackingFigure
from notifications.models.suppression import hash_normalized
from notifications.tracking.record import match_late
from notifications.tracking.reports import Effect
from notifications.tracking.webhooks import judge_event
from tests.factories import ClusterFactory, UserFactory, UserSettingsFactory
from tests.tracking import mails
from tests.tracking.conftest import send_newsletter
from tests.tracking.payloads import BASIC_USER, MAILGUN_KEY, MESSAGE_IDS, Services, Webhook, basic_auth
from tests.tracking.tracked import tracked_newsletter

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.needs("anymail", "cryptography"),
    pytest.mark.urls("tests.tracking.urls"),
    pytest.mark.filterwarnings("ignore:django-anymail has dropped official support for SendGrid"),
]
SERVICES = [pytest.param("amazon_ses", marks=pytest.mark.needs("boto3")), "postmark", "mailgun", "sendgrid", "brevo"]
# anymail does not recognise delays of Amazon SES.
WITH_DELAYS = ["postmark", "mailgun", "sendgrid", "brevo"]
WITH_BLOCKS = ["postmark", "sendgrid", "brevo"]
WITH_UNSUBSCRIBES = ["postmark", "mailgun", "sendgrid", "brevo"]


@pytest.fixture(autouse=True)
def _tracked():
    with tracked_newsletter():
        yield


@pytest.fixture
def services(settings):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    pem = "".join(key.public_key().public_bytes(*form).decode().splitlines()[1:-1])
    settings.ANYMAIL = {
        "WEBHOOK_SECRET": BASIC_USER,
        "MAILGUN_WEBHOOK_SIGNING_KEY": MAILGUN_KEY,
        "MAILGUN_API_KEY": "placeholder",
        "SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY": pem,
        "BREVO_API_KEY": "placeholder",
    }
    return Signed(key)


class Signed(Services):
    """Mailgun and SendGrid get the password of the site in addition to their signatures."""

    def build(self, *args, **kwargs):
        webhook = super().build(*args, **kwargs)
        webhook.headers.update(basic_auth())
        return webhook


@pytest.fixture
def sent(db):
    """Return a function that sends a mail through a service and returns its delivery."""
    return lambda service, user=None: send_newsletter(user, provider_message_id=MESSAGE_IDS[service])


def suppressions():
    return list(Suppression.objects.filter(is_active=True).values_list("reason", flat=True))


@pytest.mark.parametrize("service", SERVICES)
class TestEachService:
    @pytest.mark.parametrize(
        ("kind", "recorded", "causes"),
        [
            ("delivered", "delivered", []),
            ("hard", "bounced", ["hard_bounce"]),
            ("soft", "bounced", []),
            ("complained", "complained", ["complaint"]),
            ("opened", "opened", []),
            ("clicked", "clicked", []),
        ],
    )
    def test_an_event_is_recorded_and_suppresses(self, kind, recorded, causes, service, services, sent, client):
        delivery = sent(service)
        assert services.build(service, kind, delivery.address).send(client).status_code == 200
        [event] = TrackingEvent.objects.all()
        assert (event.kind, event.delivery) == (recorded, delivery)
        assert suppressions() == causes

    @pytest.mark.parametrize("kind", ["hard", "soft", "complained", "delivered"])
    def test_an_event_that_is_sent_again_changes_nothing(self, kind, service, services, sent, client):
        webhook = services.build(service, kind, sent(service).address)
        before = None
        for _ in range(4):
            assert webhook.send(client).status_code == 200
            state = list(Suppression.objects.values_list("reason", "refusals", "is_active"))
            before = before or state
            assert (state, TrackingEvent.objects.count(), NotificationLog.objects.count()) == (before, 1, 2)

    def test_figures_count_each_delivery_once(self, service, services, sent, client):
        address, bodies = sent(service).address, set()
        for kind in ("delivered", "opened", "clicked", "hard", "complained"):
            for webhook in (services.build(service, kind, address), services.build(service, kind, address)):
                bodies.add(repr(webhook.body))
                for _ in range(2):
                    assert webhook.send(client).status_code == 200
        once = ("sent", "delivered", "opened", "clicked", "bounced", "complained")
        assert dict(TrackingFigure.objects.values_list("metric", "count")) == dict.fromkeys(once, 1)
        # Postmark gives an id to bounces and complaints only, so its other events differ in nothing.
        assert TrackingEvent.objects.count() == len(bodies) == (7 if service == "postmark" else 10)

    def test_three_soft_bounces_suppress(self, service, services, sent, client):
        user = UserFactory()
        for _ in range(3):
            assert suppressions() == []
            services.build(service, "soft", sent(service, user).address).send(client)
            # The service names the next mail by another id.
            Delivery.objects.update(provider_message_id="")
        assert suppressions() == ["repeated"]

    def test_a_request_without_the_password_is_refused(self, service, services, sent, client):
        webhook = services.build(service, "hard", sent(service).address)
        assert webhook.send(client, Authorization=basic_auth("klaxon:wrong")["Authorization"]).status_code == 400
        assert not TrackingEvent.objects.exists()
        assert suppressions() == []

    def test_an_event_of_an_unknown_mail_suppresses_its_address(self, service, services, client):
        services.build(service, "hard", "stranger@example.com").send(client)
        assert TrackingEvent.objects.get().delivery is None
        assert suppressions() == ["hard_bounce"]

    def test_a_refusal_of_the_site_suppresses_nothing(self, service, services, sent, client):
        words = {"amazon_ses": "diagnostic", "postmark": "details", "mailgun": "message"}.get(service, "reason")
        reply = {words: "550 5.7.606 Access denied, banned sending IP [192.0.2.1]"}
        services.build(service, "hard", sent(service).address, **reply).send(client)
        assert (TrackingEvent.objects.get().kind, suppressions()) == ("bounced", [])


@pytest.mark.parametrize("service", WITH_DELAYS)
def test_a_delay_is_recorded(service, services, sent, client):
    services.build(service, "deferred", sent(service).address).send(client)
    assert (TrackingEvent.objects.get().kind, Suppression.objects.count()) == ("deferred", 0)


@pytest.mark.parametrize(
    ("service", "fields"),
    [
        ("sendgrid", {"sg_machine_open": True}),
        ("brevo", {"event": "unique_proxy_open"}),
        ("mailgun", {"client-info": {"bot": "apple"}}),
        ("postmark", {"UserAgent": "Mozilla/5.0 (Windows NT 5.1) Firefox/11.0 (via ggpht.com GoogleImageProxy)"}),
    ],
)
def test_opens_of_machines_are_counted_apart(service, fields, services, sent, client):
    webhook = services.build(service, "opened", sent(service).address, changes=fields)
    assert webhook.send(client).status_code == 200
    assert set(TrackingFigure.objects.values_list("metric", flat=True)) == {"sent", "machine_opened"}


def test_opens_of_an_event_that_tracks_none_are_not_recorded(services, sent, client):
    with tracked_newsletter(track_opens=False):
        services.build("postmark", "opened", sent("postmark").address).send(client)
    assert not TrackingEvent.objects.exists()


def test_late_opens_of_an_event_that_tracks_none_are_deleted(services, client):
    with tracked_newsletter(track_opens=False, track_clicks=False):
        delivery = send_newsletter()
        services.build("postmark", "opened", delivery.address).send(client)
        Delivery.objects.update(provider_message_id=MESSAGE_IDS["postmark"])
        match_late(clock.now(), lambda: False)
    assert not TrackingEvent.objects.exists()


@pytest.mark.parametrize("service", WITH_BLOCKS)
def test_a_block_suppresses_at_once(service, services, sent, client):
    services.build(service, "blocked", sent(service).address).send(client)
    assert suppressions() == ["blocked"]


@pytest.mark.parametrize("service", WITH_UNSUBSCRIBES)
def test_an_unsubscription_at_the_service_is_recorded(service, services, sent, client):
    services.build(service, "unsubscribed", sent(service).address).send(client)
    assert (TrackingEvent.objects.get().kind, suppressions()) == ("unsubscribed", [])


def test_a_wrong_signature_is_refused(services, sent, client):
    for service, header in [("sendgrid", "X-Twilio-Email-Event-Webhook-Signature"), ("mailgun", "")]:
        webhook = services.build(service, "hard", sent(service).address)
        if header:
            webhook.headers[header] = webhook.headers[header][::-1]
        else:
            webhook.body["signature"]["timestamp"] = "1780300802"
        assert webhook.send(client).status_code == 400
    assert not TrackingEvent.objects.exists()


def test_one_request_of_sendgrid_can_have_many_events(services, sent, client):
    import json

    delivery = sent("sendgrid")
    single = [services.build("sendgrid", kind, delivery.address) for kind in ("delivered", "opened", "clicked")]
    body = json.dumps([json.loads(webhook.body)[0] for webhook in single]).encode()
    webhook = Webhook("sendgrid", body, {**services.sign_sendgrid(body), **basic_auth()})
    assert webhook.send(client).status_code == 200
    assert set(TrackingEvent.objects.values_list("kind", flat=True)) == {"delivered", "opened", "clicked"}


@pytest.mark.needs("boto3")
def test_a_mail_whose_content_was_refused_says_nothing_about_the_mailbox(services, sent, client):
    delivery = sent("amazon_ses")
    webhook = services.build(
        "amazon_ses", "soft", delivery.address, subtype="ContentRejected", diagnostic="smtp; 554 5.6.0 content"
    )
    webhook.send(client)
    assert not Suppression.objects.exists()


@pytest.mark.parametrize("kind", ["Blocked", "DMARCPolicy", "VirusNotification"])
def test_a_policy_of_postmark_or_of_the_site_suppresses_nothing(kind, services, sent, client):
    services.build("postmark", kind, sent("postmark").address, details="").send(client)
    assert (TrackingEvent.objects.count(), suppressions()) == (1, [])


@pytest.mark.needs("boto3")
def test_a_mail_with_a_virus_suppresses_nothing(services, sent, client):
    services.build("amazon_ses", "Reject", sent("amazon_ses").address).send(client)
    assert (TrackingEvent.objects.get().kind, suppressions()) == ("rejected", [])


def test_a_block_because_of_the_content_suppresses_nothing(services, sent, client):
    refused = {"reason": "554 5.7.1 It is spam"}
    services.build("sendgrid", "blocked", sent("sendgrid").address, changes=refused).send(client)
    assert (TrackingEvent.objects.get().kind, suppressions()) == ("bounced", [])


@pytest.mark.parametrize(
    ("service", "kind", "reason", "raw", "effect"),
    [
        ("SparkPost", "bounced", "spam", {"msys": {"message_event": {"bounce_class": "51"}}}, Effect.NONE),
        ("SparkPost", "bounced", "bounced", {"msys": {"message_event": {"bounce_class": "22"}}}, Effect.SOFT),
        ("SparkPost", "bounced", "invalid", {"msys": {"message_event": {"bounce_class": "10"}}}, Effect.HARD),
        ("Mailjet", "rejected", "blocked", {"event": "blocked", "error_related_to": "spam"}, Effect.NONE),
        ("Mailjet", "rejected", "spam", {"event": "blocked", "error_related_to": "recipient"}, Effect.COMPLAINT),
        ("Mailjet", "bounced", "bounced", {"event": "bounce", "hard_bounce": True}, Effect.HARD),
        ("MailerSend", "bounced", "bounced", {"data": {"type": "soft_bounced"}}, Effect.SOFT),
        ("Resend", "bounced", "bounced", {"data": {"bounce": {"type": "Transient"}}}, Effect.SOFT),
        ("Unisender Go", "bounced", "spam", {}, Effect.NONE),
        ("Another", "bounced", "bounced", {}, Effect.HARD),
        ("Another", "rejected", "spam", {}, Effect.COMPLAINT),
        ("Another", "rejected", "other", {}, Effect.NONE),
    ],
)
def test_the_words_of_other_services_are_understood(service, kind, reason, raw, effect):
    event = SimpleNamespace(event_type=kind, reject_reason=reason, esp_event=raw, mta_response="")
    assert judge_event(event, service) is effect


def test_an_event_that_comes_before_the_outcome_is_matched_later(services, client):
    delivery = send_newsletter()
    services.build("postmark", "delivered", delivery.address).send(client)
    type(delivery).objects.update(provider_message_id=MESSAGE_IDS["postmark"])
    match_late(clock.now(), lambda: False)
    event = TrackingEvent.objects.get()
    assert event.delivery == delivery
    assert NotificationLog.objects.get(kind="provider_event").error_message == "delivered"
    match_late(clock.now(), lambda: False)
    assert NotificationLog.objects.filter(kind="provider_event").count() == 1


class TestComplaintsBeforeTheOutcome:
    """Until the mail is known, they apply to all clusters."""

    @pytest.fixture
    def early(self, services, client):
        user, cluster = UserFactory(), ClusterFactory()
        cluster.members.add(user)
        UserSettingsFactory(user=user, cluster=cluster, addresses={"email": "other@example.com"})
        delivery = send_newsletter(user, cluster)
        services.build("postmark", "complained", delivery.address).send(client)
        assert list(Suppression.objects.values_list("reason", "cluster", "is_active")) == [("complaint", None, True)]
        Delivery.objects.update(provider_message_id=MESSAGE_IDS["postmark"])
        return delivery

    def find_active(self):
        rows = Suppression.objects.filter(is_active=True)
        return sorted(rows.values_list("reason", "cluster", "address_hash"))

    def test_they_are_limited_to_the_person_and_the_cluster_of_the_mail(self, early):
        match_late(clock.now(), lambda: False)
        cluster, addresses = early.notification.cluster_id, (early.address, early.recipient.email)
        expected = sorted(("complaint", cluster, hash_normalized(address)) for address in addresses)
        assert self.find_active() == expected
        match_late(clock.now(), lambda: False)
        assert self.find_active() == expected

    def test_a_soft_bounce_afterwards_is_the_first(self, early):
        match_late(clock.now(), lambda: False)
        Suppression.objects.count_refusal("email", early.address, clock.now())
        assert Suppression.objects.get(cluster=None).refusals == 1

    def test_those_that_were_lifted_stay_lifted(self, early):
        Suppression.objects.all().lift(None, "they asked for it", clock.now())
        match_late(clock.now(), lambda: False)
        assert self.find_active() == []

    def test_another_suppression_of_the_address_stays(self, early):
        Suppression.objects.update(reason="hard_bounce")
        match_late(clock.now(), lambda: False)
        assert [row[:2] for row in self.find_active()].count(("hard_bounce", None)) == 1

    def test_a_receiver_learns_of_the_delivery(self, early, django_capture_on_commit_callbacks):
        seen = []

        def receive(sender, partition, event, **kwargs):
            seen.append((event.kind, event.delivery))

        signals.tracking_event_recorded.connect(receive)
        try:
            with django_capture_on_commit_callbacks(execute=True):
                match_late(clock.now(), lambda: False)
        finally:
            signals.tracking_event_recorded.disconnect(receive)
        assert seen == [("complained", early)]


def test_events_of_other_mails_are_deleted_after_a_day_and_evidence_stays(services, client):
    for kind in ("delivered", "opened", "hard"):
        services.build("sendgrid", kind, "stranger@example.com").send(client)
    TrackingEvent.objects.update(recorded_at=clock.now() - timedelta(days=2))
    match_late(clock.now(), lambda: False)
    assert list(TrackingEvent.objects.values_list("kind", flat=True)) == ["bounced"]


def test_matching_takes_as_many_queries_for_any_number_of_strangers(services, client, django_assert_num_queries):
    for _ in range(5):
        services.build("sendgrid", "delivered", "stranger@example.com").send(client)
    now = clock.now()
    with django_assert_num_queries(3):
        match_late(now, lambda: False)


def receive(raw, client):
    body = {"FromFull": {"Email": "", "Name": ""}, "Headers": [], "RawEmail": raw.decode(), "MessageID": "1"}
    return client.post("/anymail/postmark/inbound/", body, content_type="application/json", headers=basic_auth())


def test_a_returned_mail_that_a_service_receives_is_read(services, delivery, client):
    assert receive(mails.status_notification(delivery), client).status_code == 200
    assert suppressions() == ["hard_bounce"]


def test_a_returned_mail_that_needs_a_missing_extra_is_not_sent_again(services, delivery, client, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "flufl.bounce", None)
    assert receive(mails.qmail_bounce(delivery), client).status_code == 200
    assert "pip install 'django-klaxon[bounces]'" in caplog.text


def test_a_receiver_learns_of_a_new_event_after_the_commit(services, sent, client, django_capture_on_commit_callbacks):
    seen = []

    def receive(sender, partition, event, **kwargs):
        seen.append((partition, event.kind, event.delivery))

    delivery = sent("postmark")
    webhook = services.build("postmark", "hard", delivery.address)
    signals.tracking_event_recorded.connect(receive)
    try:
        for _ in range(2):
            with django_capture_on_commit_callbacks(execute=True):
                webhook.send(client)
    finally:
        signals.tracking_event_recorded.disconnect(receive)
    assert seen == [("default", "bounced", delivery)]
