"""Simulate three use cases and an alert of the test laboratory."""

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
        "Show which notifications of a test laboratory reach whom on which channel, and why others do not. "
        "The command runs the real send() and worker with a simulated clock. Nothing is kept or leaves the process. "
        "It needs an empty database."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        with rehearsal("2026-11-20 09:00") as timeline:
            laboratory = people.create_people()
            creator = User.objects.get(username="test-creator")
            self.simulate(
                timeline,
                "A test run is completed. Its creator gets an email, and subscribers of the suite get a live message.",
                QualityEvents.EXECUTION_COMPLETED,
                lambda: reports.execution_completed(
                    laboratory, creator, suite=people.SUITE, passed=338, failed=2, seconds=412.5
                ),
            )
            self.simulate(
                timeline,
                "A health check fails. System administrators get an urgent email even if they opted out, "
                "and the monitoring system gets a webhook.",
                QualityEvents.HEALTH_CHECK_FAILED,
                lambda: reports.health_check_failed(
                    laboratory, component="Report store", problem="No answer for 30 seconds"
                ),
            )
            self.simulate(
                timeline,
                "A quality metric exceeds its threshold. Quality engineers and project managers are notified in the "
                "app and by email.",
                QualityEvents.QUALITY_THRESHOLD_EXCEEDED,
                lambda: reports.quality_threshold_exceeded(
                    laboratory, metric="Share of flaky tests", value=4.2, threshold=3.0
                ),
            )
            alert = alerts.Alert(laboratory, "Nightly runs are late", "warning", "Three of five have not begun.")
            self.simulate(
                timeline,
                "An alert is triggered: by email, in the team's Slack channel and by the monitoring system's webhook.",
                QualityEvents.ALERT_TRIGGERED,
                lambda: alerts.trigger(alert),
            )

    def simulate(self, timeline: Timeline, what: str, event: QualityEvents, happens: Callable[[], Any]) -> None:
        self.stdout.write(f"\n{self.style.MIGRATE_HEADING(what)}")
        timeline.at(timeline.now, happens)
        timeline.run()
        for sentence in sentences(timeline, event):
            self.stdout.write(f"  {sentence}")
