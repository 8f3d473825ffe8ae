"""The output of ``dispatch_notifications``: the summary, and a progress bar on a terminal."""

import os
import pty
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import OutputWrapper
from django.db import OperationalError
from django.utils.timezone import now

from notifications.delivering.attempt import GroupHandover
from notifications.delivering.outcome_writer import OutcomeWriter
from notifications.delivering.workers.worker import Worker
from notifications.management import summary
from notifications.management.progress import Progress, format_line
from notifications.management.summary import FLOOD, describe_run
from notifications.manager import NotificationManager
from notifications.models import Delivery, Notification, Pause
from tests.channels.scripted import scripted
from tests.factories import UserFactory
from tests.mailers import use_backend
from tests.processes import environment, smtp_ledger
from tests.shop.notification_events import ShopEvents
from tests.spool.outage import outage

pytestmark = pytest.mark.django_db(transaction=True)


def newsletter(count=1):
    return NotificationManager.send(ShopEvents.NEWSLETTER, UserFactory.create_batch(count))


def dispatch():
    out = StringIO()
    call_command("dispatch_notifications", stdout=out)
    return out.getvalue()


@pytest.fixture
def busy_server(settings):
    """A mail server that temporarily refuses each recipient, and a retry schedule."""

    def configure(*delays, channels=None):
        settings.NOTIFICATIONS = {"RETRY_DELAYS": delays, "RETRY_JITTER": 0, "CHANNELS": channels or {}}

    with scripted(stage="RCPT", fault="450 4.2.0 Try again later", turns=range(1, 100)) as server:
        use_backend(settings, port=server.port)
        yield configure


class TestSummary:
    @pytest.mark.parametrize(
        ("delays", "output"),
        [
            ((0, 0), "1 delivery: 1 dead."),
            ((0, 3600), "1 delivery: 1 retry."),
            ((3600,), "1 delivery: 1 retry."),
            ((), "1 delivery: 1 dead."),
        ],
    )
    def test_several_attempts_in_one_run_count_once_with_the_final_outcome(self, busy_server, delays, output):
        busy_server(*delays)
        newsletter(1)
        assert dispatch() == f"{output}\n"

    def test_retries_of_an_earlier_run_are_not_counted(self, busy_server):
        busy_server(3600)
        newsletter(2)
        dispatch()
        newsletter(1)
        assert dispatch() == "1 delivery: 1 retry.\n"

    def test_deliveries_of_an_unreachable_provider_are_reported(self, settings):
        use_backend(settings, port=1)
        newsletter(2)
        assert dispatch() == "2 deliveries wait for email, which fails and is tried again later.\n"

    def test_deliveries_of_an_invalid_channel_are_reported(self, busy_server):
        busy_server(3600, channels={"email": {"OPTIONS": {"colour": "red"}}})
        newsletter(2)
        assert dispatch() == "2 deliveries wait for email, which fails and is tried again later.\n"


class TestWaitingDeliveries:
    def test_a_pause_of_everything_is_reported_with_its_note(self):
        newsletter(2)
        Pause.objects.pause("*", "the mail server moves", now())
        output = "2 deliveries wait for resume_notifications: everything is paused (the mail server moves).\n"
        assert dispatch() == output

    def test_a_pause_of_everything_is_reported_if_nothing_is_due(self):
        Pause.objects.pause("*", "", now())
        assert dispatch() == "Everything is paused. Nothing is due.\n"

    def test_the_channels_that_are_paused_are_named(self):
        NotificationManager.send(ShopEvents.ORDER_SHIPPED, [UserFactory()], None, {"order_number": "7"})
        newsletter(2)
        Pause.objects.pause("email", "", now())
        assert dispatch() == "1 delivery: 1 sent.\n3 deliveries wait for email, which is paused.\n"

    def test_deliveries_that_became_due_during_a_pause_count_too(self):
        newsletter(1)
        Delivery.objects.update(state="retry", due_at=now())
        Pause.objects.pause("*", "", now())
        assert dispatch() == "1 delivery waits for resume_notifications: everything is paused.\n"

    def test_a_flood_is_reported(self, settings):
        settings.NOTIFICATIONS = {"THROTTLE_DEPTH": 3, "BATCH_SIZE": 2}
        newsletter(8)
        output = dispatch()
        left = Delivery.objects.filter(state="ready").count()
        assert left > 3
        assert output == f"{8 - left} deliveries: {8 - left} sent.\n{left} deliveries wait behind a flood: {FLOOD}.\n"

    def test_the_time_of_the_first_scheduled_delivery_is_reported(self):
        at = now() + timedelta(hours=1)
        NotificationManager.send(ShopEvents.NEWSLETTER, UserFactory.create_batch(2), send_at=at)
        assert dispatch() == f"Nothing is due now. 2 deliveries wait, the first until {at:%Y-%m-%d %H:%M} UTC.\n"

    def test_deliveries_that_were_cancelled_after_the_claim_are_counted(self):
        sent = NotificationManager.send(ShopEvents.NEWSLETTER, UserFactory.create_batch(2), cancel_key="sale")
        # The effect is the same as if the worker had claimed them before the call.
        Notification.objects.filter(pk=sent.notification_id).update(cancelled_at=now())
        assert dispatch() == "2 deliveries: 2 cancelled.\n"

    def test_an_empty_outbox_is_reported(self):
        assert dispatch() == "Nothing was ready to send.\n"

    def test_counting_stops_at_a_limit(self, monkeypatch):
        monkeypatch.setattr(summary, "MAX_COUNT", 2)
        newsletter(3)
        Pause.objects.pause("email", "", now())
        assert dispatch() == "More than 2 deliveries wait for email, which is paused.\n"

    def test_a_database_that_is_away_at_the_end_is_reported(self):
        with outage():
            assert describe_run(Counter(), now()) == [
                "Nothing was sent. The database cannot be used to count the deliveries that wait."
            ]
            assert describe_run(Counter(sent=30), now()) == ["30 deliveries: 30 sent."]


class TestCounting:
    """Accepted messages are in the summary, regardless of later errors."""

    def test_an_error_after_the_first_group_does_not_lose_its_count(self, monkeypatch):
        newsletter(3)
        observe = GroupHandover.observe

        def fail_once(self):
            monkeypatch.setattr(GroupHandover, "observe", observe)
            raise OperationalError("gone right after the outcomes were written")

        monkeypatch.setattr(GroupHandover, "observe", fail_once)
        worker = Worker(workers=1, idle=0.05, error_pause=0.05)
        worker.on_progress = lambda tally: worker.tally["sent"] == 3 and worker.stop()
        worker.watch()
        assert worker.errors == 1
        assert worker.tally == {"sent": 3}

    def test_outcomes_that_are_written_at_the_end_are_counted(self, monkeypatch):
        newsletter(3)
        worker = Worker(workers=1, idle=0.05, error_pause=0.05)
        write = OutcomeWriter.write

        def fail_once(self, outcomes):
            monkeypatch.setattr(OutcomeWriter, "write", write)
            worker.stop()
            raise OperationalError("away for a moment")

        monkeypatch.setattr(OutcomeWriter, "write", fail_once)
        worker.watch()
        assert worker.tally["sent"] >= 1
        assert worker.tally["sent"] == Delivery.objects.filter(state="sent").count()

    def test_outcomes_that_are_kept_in_a_file_are_counted_separately(self, settings, monkeypatch, tmp_path):
        settings.NOTIFICATIONS = {"STATE_DIR": str(tmp_path / "state"), "STOP_SECONDS": 0.1}
        newsletter(3)
        worker = Worker(workers=1, idle=0.05, error_pause=0.05)

        def fail(self, outcomes):
            worker.stop()
            raise OperationalError("away")

        with monkeypatch.context() as database:
            database.setattr(OutcomeWriter, "write", fail)
            worker.watch()
        count = worker.outcomes_in_files
        assert count > 0
        assert describe_run(worker.tally, now()) == [f"{count} deliveries: {count} kept in a file."]


def test_the_first_line_is_only_printed_if_the_database_can_be_used():
    out = StringIO()
    with outage(), pytest.raises(CommandError, match="The database cannot be used"):
        call_command("dispatch_notifications", watch=True, stdout=out)
    assert out.getvalue() == ""


class Terminal(StringIO):
    def isatty(self):
        return True


class TestProgress:
    @pytest.mark.parametrize(
        ("done", "total", "output"),
        [
            (0, 10, "[..............................] 0 of 10, 0 %, 0 a second"),
            (5, 10, "[###############...............] 5 of 10, 50 %, 2 a second"),
            (10, 10, "[##############################] 10 of 10, 100 %, 5 a second"),
            (12, 10, "[##############################] 12 of 12, 100 %, 6 a second"),
            (0, 0, "[..............................] 0 of 1, 0 %, 0 a second"),
            (8, None, "8 done, 4 a second"),
        ],
    )
    def test_a_line_contains_the_progress_and_the_rate(self, done, total, output):
        assert format_line(done, total, 2.0) == output

    def test_nothing_is_drawn_without_a_terminal(self):
        out = StringIO()
        progress = Progress(OutputWrapper(out), 10)
        progress.advance(10)
        progress.end()
        assert out.getvalue() == ""

    def test_the_last_line_is_always_drawn(self):
        out = Terminal()
        progress = Progress(OutputWrapper(out), 1000)
        for _ in range(1000):
            progress.advance(1)
        progress.end()
        drawn = out.getvalue().split("\r")
        assert "1000 of 1000, 100 %" in drawn[-1]
        assert drawn[-1].endswith("\n")
        assert len(drawn) < 50, "the bar is not drawn at each step"
        assert len({len(words.rstrip("\n")) for words in drawn[2:]}) == 1, "each line covers the previous one"

    @pytest.mark.parametrize("processes", ["1", "2"])
    def test_a_terminal_gets_a_bar_and_the_summary_has_a_separate_line(self, tmp_path, processes):
        newsletter(50)
        ours, theirs = pty.openpty()
        with smtp_ledger(tmp_path / "ledger") as port:
            command = [sys.executable, "-W", "ignore", "-m", "django", "dispatch_notifications", "--skip-checks"]
            ended = subprocess.run(
                [*command, "--processes", processes, "--batch-size", "5"],
                env=environment(port),
                stdout=theirs,
                check=False,
            )
        os.close(theirs)
        output = os.read(ours, 100_000).decode().replace("\r\n", "\n")
        os.close(ours)
        assert ended.returncode == 0
        assert "of 50, " in output.split("\r")[1]
        assert "50 of 50, 100 %" in output
        assert output.splitlines()[-1] == "50 deliveries: 50 sent."


def test_a_database_that_cannot_be_used_is_reported_in_one_sentence(tmp_path):
    env = environment(KLAXON_TEST_DB="sqlite", KLAXON_DATABASE_NAME=str(tmp_path / "gone" / "db.sqlite3"))
    command = [sys.executable, "-W", "ignore", "-m", "django", "dispatch_notifications", "--skip-checks"]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "The database cannot be used" in ended.stderr
    assert "Traceback" not in ended.stderr
