"""Figures of events, campaigns and variants, and the page that shows them."""

import threading
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from notifications import signals
from notifications.core import clock
from notifications.models import Cluster, Notification, TrackingEvent, TrackingFigure, UserSettings
from notifications.models.tracking_figure import FigureKey
from notifications.tracking.record import record
from notifications.tracking.reports import Effect, Kind, Report, make_key
from notifications.tracking.summary import Period, Totals, build_chart
from tests.factories import UserFactory
from tests.tracking.conftest import send_newsletter
from tests.tracking.tracked import send, tracked_newsletter

PAGE = "admin:klaxon_trackingfigure_changelist"
pytestmark = pytest.mark.django_db


def report(delivery, kind, number=1, effect=Effect.NONE):
    key = make_key(str(number), kind, str(delivery.pk))
    return record(Report(Kind(kind), "SendGrid", key, (delivery.provider_message_id,), None, "", "", effect))


def figures(**filters):
    rows = TrackingFigure.objects.filter(count__gt=0, **filters)
    return {f"{row.variant}.{row.metric}".lstrip("."): row.count for row in rows}


@pytest.fixture
def boss(db):
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


class TestCounting:
    def test_plain_events_have_no_figures(self):
        report(send_newsletter(), "delivered")
        assert not TrackingFigure.objects.exists()

    def test_a_campaign_has_figures_without_tracking(self):
        for _ in range(3):
            send(campaign="spring")
        assert figures(campaign="spring") == {"sent": 3}

    @pytest.mark.parametrize("kind", ["delivered", "bounced", "complained", "unsubscribed", "opened", "clicked"])
    def test_each_delivery_counts_once_however_often_it_is_reported(self, kind):
        with tracked_newsletter():
            [delivery] = send(campaign="spring")
            for number in range(3):
                report(delivery, kind, number)
                report(delivery, kind, number)
        assert TrackingEvent.objects.count() == 3
        assert figures() == {"sent": 1, kind: 1}

    def test_opens_that_the_event_does_not_track_are_not_recorded(self):
        delivery = send(campaign="spring")[0]
        assert report(delivery, "opened") is None
        assert (TrackingEvent.objects.count(), figures()) == (0, {"sent": 1})

    def test_failed_deliveries_are_counted(self, settings):
        from tests.mailers import use_backend

        use_backend(settings, "tests.sending.gates.test_suppression.Bounces")
        send(campaign="spring")
        assert figures() == {"failed": 1}

    def test_figures_are_kept_by_variant_cluster_and_day(self):
        with tracked_newsletter(variants={"plain": 1, "bold": 1}):
            deliveries = send(*UserFactory.create_batch(20), campaign="spring")
            for delivery in deliveries:
                report(delivery, "delivered")
        counts = figures()
        assert counts["plain.sent"] + counts["bold.sent"] == 20
        assert (counts["plain.delivered"], counts["bold.delivered"]) == (counts["plain.sent"], counts["bold.sent"])
        row = TrackingFigure.objects.first()
        assert (row.day, row.cluster, row.event) == (timezone.localdate(), Cluster.objects.default(), "shop_newsletter")

    def test_a_report_counts_on_the_day_on_which_it_happened(self):
        [delivery] = send(campaign="spring")
        now = clock.now()
        Notification.objects.update(created_at=now - timedelta(days=3))
        for number, (kind, age) in enumerate([("delivered", 2), ("bounced", 400)]):
            at = now - timedelta(days=age)
            key, ids = make_key(str(number)), (delivery.provider_message_id,)
            record(Report(Kind(kind), "SendGrid", key, ids, at))
        days = dict(TrackingFigure.objects.values_list("metric", "day"))
        today = timezone.localdate()
        # No report can be about a time before the notification.
        assert (days["delivered"], days["bounced"]) == (today - timedelta(days=2), today - timedelta(days=3))

    def test_templates_get_the_variant_that_is_counted(self):
        with tracked_newsletter(variants={"plain": 1, "bold": 1}):
            send(*UserFactory.create_batch(20))
        bold = sum("in bold" in str(message.alternatives[0][0]) for message in mail.outbox)
        assert bold == figures()["bold.sent"]

    def test_counts_are_added_in_one_statement(self, django_assert_num_queries):
        cluster, today = Cluster.objects.default(), timezone.localdate()
        keys = [FigureKey(today, cluster.pk, "shop_newsletter", "", "", metric) for metric in ("sent", "opened")]
        for _ in range(2):
            with django_assert_num_queries(1):
                TrackingFigure.objects.add(dict.fromkeys(keys, 5))
        assert figures() == {"sent": 10, "opened": 10}
        TrackingFigure.objects.add({keys[0]: -1})
        assert figures()["sent"] == 9


@pytest.mark.django_db(transaction=True)
def test_opens_at_the_same_time_count_once():
    with tracked_newsletter():
        [delivery] = send(campaign="spring")
        barrier = threading.Barrier(4)

        def hit(number):
            barrier.wait()
            try:
                report(delivery, "opened", number)
            finally:
                connection.close()

        threads = [threading.Thread(target=hit, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert figures()["opened"] == 1


class TestPage:
    def fill(self, days=3):
        cluster, today = Cluster.objects.default(), timezone.localdate()
        for number in range(days):
            for variant, opened in (("bold", 40), ("plain", 20)):
                key = FigureKey(
                    today - timedelta(days=number), cluster.pk, "shop_newsletter", "spring", variant, "sent"
                )
                TrackingFigure.objects.add({key: 100, key._replace(metric="opened"): opened})

    def test_all_events_and_campaigns_are_listed_with_their_shares(self, boss):
        self.fill()
        text = boss.get(reverse(PAGE)).content.decode()
        assert "shop_newsletter" in text
        assert ">600 " in text or ">600<" in text
        assert "30.0 %" in text

    def test_a_campaign_has_a_chart_and_a_table_of_its_variants(self, boss):
        self.fill()
        text = boss.get(reverse(PAGE, query={"campaign": "spring"})).content.decode()
        assert text.count("<polyline") == 3
        assert 'role="img"' in text
        assert "40.0 %" in text
        assert "20.0 %" in text

    def test_one_variant_has_its_own_chart_and_days(self, boss):
        self.fill()
        text = boss.get(reverse(PAGE, query={"campaign": "spring", "variant": "bold"})).content.decode()
        assert "40.0 %" in text
        assert "20.0 %" not in text
        assert text.count("<polyline") == 3

    def test_an_event_lists_its_campaigns(self, boss):
        self.fill()
        today, cluster = timezone.localdate(), Cluster.objects.default()
        TrackingFigure.objects.add({FigureKey(today, cluster.pk, "shop_newsletter", "", "", "sent"): 7})
        text = boss.get(reverse(PAGE, query={"event": "shop_newsletter"})).content.decode()
        assert "?event=shop_newsletter&amp;campaign=spring" in text
        assert "Events and campaigns" not in boss.get(reverse(PAGE, query={"campaign": "spring"})).content.decode()

    def test_a_single_day_has_no_chart(self, boss):
        self.fill(1)
        today = timezone.localdate().isoformat()
        text = boss.get(reverse(PAGE, query={"campaign": "spring", "first": today, "last": today})).content.decode()
        assert "<polyline" not in text
        assert "40.0 %" in text

    @pytest.mark.parametrize(
        "query",
        [
            {"first": "2026-01-01", "last": "2025-01-01"},
            {"first": "2020-01-01", "last": "2026-01-01"},
            {"first": "yesterday"},
            {"cluster": "x"},
        ],
    )
    def test_a_wrong_choice_is_explained(self, query, boss):
        answer = boss.get(reverse(PAGE, query=query))
        assert (answer.status_code, "errorlist" in answer.content.decode()) == (200, True)

    def test_a_period_without_figures_says_so(self, boss):
        assert "There are no figures in this period" in boss.get(reverse(PAGE)).content.decode()

    def test_the_page_takes_as_many_queries_for_a_year_as_for_a_day(self, boss):
        self.fill(1)
        url = reverse(PAGE, query={"campaign": "spring"})
        boss.get(url)
        with CaptureQueriesContext(connection) as short:
            boss.get(url)
        self.fill(300)
        with CaptureQueriesContext(connection) as long:
            boss.get(url)
        assert len(long) == len(short)

    def test_viewing_requires_the_permission(self, db):
        client = Client()
        client.force_login(User.objects.create_user("clerk", is_staff=True))
        assert client.get(reverse(PAGE)).status_code == 403


def test_a_chart_without_figures_is_a_line_at_the_bottom():
    days = [Totals((day,)) for day in Period(*[clock.now().date()] * 2).days]
    chart = build_chart(days)
    assert (chart.most, {curve.points for curve in chart.curves}) == (0, {"0.0,100.0"})


def test_an_unsubscription_by_a_link_of_the_email_counts_once():
    with tracked_newsletter():
        user = UserFactory()
        [delivery] = send(user, campaign="spring")
        for _ in range(2):
            signals.recipient_unsubscribed.send(
                UserSettings, user=user, channel="email", notification_id=delivery.notification_id
            )
    assert figures() == {"sent": 1, "unsubscribed": 1}
