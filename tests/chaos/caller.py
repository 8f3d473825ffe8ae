"""A process that asks for notifications, and writes down, outside the database, what it was told."""

import time
from dataclasses import dataclass
from pathlib import Path

from django.contrib.auth.models import User
from django.db import Error, connection

from notifications.manager import NotificationManager
from notifications.models import Notification
from tests.chaos.notification_events import ChaosEvents


@dataclass(frozen=True)
class Answer:
    """Either the id of a notification that was committed, or the words of an error."""

    notification: int
    waited: float
    began: float
    error: str


class Caller:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.touch()

    def ask(self, until: float, most_refusals: int = 10**6, pause: float = 0.02) -> None:
        """Ask until that moment, or until refused so often."""
        user = User.objects.first()
        refused = 0
        while time.monotonic() < until and refused < most_refusals:
            refused += not self._ask(user)
            time.sleep(pause)

    def keep_pace(self, until: float, per_minute: float) -> None:
        """Ask so often until that moment; whatever was missed, because the database was away, is made up for."""
        user, due = User.objects.first(), time.monotonic()
        while due < until:
            self._ask(user)
            due += 60 / per_minute
            time.sleep(max(0, due - time.monotonic()))

    def _ask(self, user: User) -> bool:
        began, notification, error = time.monotonic(), 0, ""
        try:
            result = NotificationManager.send(ChaosEvents.PARCEL, [user], context={"words": "asked " * 50})
            notification = result.notification_id
        except Error as raised:
            error = " ".join(f"{type(raised).__name__}: {raised}".split())
            connection.close()
        with self.path.open("a") as file:
            file.write(f"{notification} {time.monotonic() - began:.3f} {began:.3f} {error}\n")
        return not error

    def answers(self) -> list[Answer]:
        lines = [line.split(" ", 3) for line in self.path.read_text().splitlines()]
        return [Answer(int(number), float(waited), float(began), error) for number, waited, began, error in lines]

    def accepted_but_missing(self) -> int:
        told = {answer.notification for answer in self.answers() if answer.notification}
        return len(told - set(Notification.objects.values_list("pk", flat=True)))
