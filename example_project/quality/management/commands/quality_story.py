"""The laboratory's story: three use cases and an alert."""

from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand

from example_project.demo.rehearsal import rehearsal, sentences
from example_project.quality import alerts, people, reports
from example_project.quality.notification_events import QualityEvents
from notifications.testing import Timeline


class Command(BaseCommand):
    help = (
        "Tell how a test laboratory reports: who gets what on which channel, and why others do not. "
        "Everything goes through send() and the worker by a simulated clock; nothing is kept or leaves the process. "
        "It needs a database of its own."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        with rehearsal("2026-11-20 09:00") as timeline:
            laboratory = people.settle_in()
            creator = User.objects.get(username="test-creator")
            self.tell(
                timeline,
                "A test run is over. Its creator gets a mail, all who subscribed to the suite a live message.",
                QualityEvents.EXECUTION_COMPLETED,
                lambda: reports.execution_completed(
                    laboratory, creator, suite=people.SUITE, passed=338, failed=2, seconds=412.5
                ),
            )
            self.tell(
                timeline,
                "A health check fails. System administrators get an urgent mail, whatever they have opted out of, "
                "and the monitoring system is called.",
                QualityEvents.HEALTH_CHECK_FAILED,
                lambda: reports.health_check_failed(
                    laboratory, component="Report store", problem="No answer for 30 seconds"
                ),
            )
            self.tell(
                timeline,
                "A figure of quality passes its threshold. Quality engineers and project managers read it in the app "
                "and in a mail.",
                QualityEvents.QUALITY_THRESHOLD_EXCEEDED,
                lambda: reports.quality_threshold_exceeded(
                    laboratory, metric="Share of flaky tests", value=4.2, threshold=3.0
                ),
            )
            alert = alerts.Alert(laboratory, "Nightly runs are late", "warning", "Three of five have not begun.")
            self.tell(
                timeline,
                "An alert is triggered: by mail, in the team's room on Slack and on the monitoring system's webhook.",
                QualityEvents.ALERT_TRIGGERED,
                lambda: alerts.trigger(alert),
            )

    def tell(self, timeline: Timeline, what: str, event: QualityEvents, happens: Callable[[], Any]) -> None:
        self.stdout.write(f"\n{self.style.MIGRATE_HEADING(what)}")
        timeline.at(timeline.now, happens)
        timeline.run()
        for sentence in sentences(timeline, event):
            self.stdout.write(f"  {sentence}")
