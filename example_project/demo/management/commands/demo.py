"""A demonstration of Klaxon on an empty database, with a real SMTP server and worker."""

import os
import signal
import socket
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from example_project.demo import people, post_office, report, story
from notifications.models import Delivery, InboxItem
from notifications.outcomes import SendResult


class Command(BaseCommand):
    help = (
        "Set up an empty database, replay a coach's recording through the CAN bridge, send from the estate's code, "
        "deliver to an SMTP server on loopback, print the results, and serve the pages."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--no-serve", action="store_true", help="exit after printing the tables")
        parser.add_argument("--port", type=int, default=8000, help="the port of the pages (default: 8000)")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["no_serve"]:
            self.refuse_busy_port(options["port"])
        call_command("migrate", verbosity=0)
        if Delivery.objects.exists():
            raise CommandError("The demonstration needs an empty database. Delete the database, or run: make demo")
        with post_office.run_smtp_server() as port:
            environment = {**os.environ, "EMAIL_URL": f"smtp://127.0.0.1:{port}"}
            self.send_all()
            self.print_title("The worker delivers")
            self.run_command(environment, "dispatch_notifications")
            self.show_outcome()
            if not options["no_serve"]:
                self.serve(environment, options["port"])

    def send_all(self) -> None:
        estate, _coach = people.create_people()
        recording = settings.VAR / "coach.log"
        self.print_title("A coach raises faults; its recording is replayed through the CAN bridge")
        call_command("simulate_coach", str(recording), stdout=self.stdout)
        call_command("bridge_can", replay=str(recording), stdout=self.stdout, stderr=self.stdout)
        self.print_title("The estate sends")
        self.print_result("emergency_alert to all members", story.send_alert(estate))
        self.print_result("payment_due to two residents", story.send_bill(estate))
        self.print_result("visitor_arrival to a resident and a neighbour", story.announce_visitor(estate))
        story.complete_work_orders(estate)
        self.stdout.write("  maintenance_complete, in the transactions that complete two work orders")

    def show_outcome(self) -> None:
        self.print_title("Every attempt")
        self.stdout.write(report.format_attempts())
        self.print_title("What was dropped and why")
        self.stdout.write(report.format_drops())
        mails, sent = len(post_office.read_mails()), Delivery.objects.filter(channel="email", state="sent").count()
        self.stdout.write(f"\n{mails} mails at the SMTP server, {InboxItem.objects.count()} items in inboxes.")
        if not sent or mails != sent or Delivery.objects.exclude(state="sent").exists():
            raise CommandError(
                f"Not everything was delivered: {sent} emails are marked as sent, {mails} were received."
            )

    def serve(self, environment: dict[str, str], port: int) -> None:
        home = f"http://127.0.0.1:{port}"
        self.print_title("The pages")
        self.stdout.write(f"  Inbox  {home}/notifications/inbox/  as resident, without-email, opted-out or driver")
        self.stdout.write(f"  Admin  {home}/admin/  as staff")
        self.stdout.write(f"  Mails  {home}/mail/")
        self.stdout.write(f"  The password of all users is {people.PASSWORD}. Stop with Ctrl-C.")
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        children = [
            self.start(environment, "dispatch_notifications", "--watch"),
            self.start(environment, "runserver", "--noreload", f"127.0.0.1:{port}"),
        ]
        try:
            children[-1].wait()
        except KeyboardInterrupt:
            self.stdout.write("Stopped.")
        finally:
            for child in children:
                child.terminate()
            for child in children:
                child.wait(timeout=30)

    def refuse_busy_port(self, port: int) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise CommandError(
                    f"Port {port} of 127.0.0.1 is in use. Choose another: make demo PORT=8001"
                ) from error

    def run_command(self, environment: dict[str, str], *command: str) -> None:
        self.stdout.flush()
        subprocess.run(self.build_command(command), env=environment, check=True)  # noqa: S603 - our own manage.py

    def start(self, environment: dict[str, str], *command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.build_command(command), env=environment)  # noqa: S603

    def build_command(self, command: tuple[str, ...]) -> list[str]:
        return [sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), *command]

    def print_title(self, text: str) -> None:
        self.stdout.write(f"\n{self.style.MIGRATE_HEADING(text)}")

    def print_result(self, what: str, result: SendResult) -> None:
        reasons = ", ".join(f"{count} {reason}" for reason, count in result.reasons.items())
        suffix = f" ({reasons})" if reasons else ""
        self.stdout.write(f"  {what}: {result.queued} queued, {result.dropped} dropped{suffix}")
