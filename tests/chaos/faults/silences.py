"""The first of two providers accepts connections and says nothing.

Both are spoken to in SMTP by the real email channel; the full run has the channel's own time-outs.
"""

import time
from datetime import UTC
from typing import Any

from notifications.models import Delivery, NotificationLog
from tests.chaos.figures import Figures
from tests.chaos.letters import carrier, posted
from tests.chaos.notification_events import ChaosEvents
from tests.chaos.provider import SECOND
from tests.chaos.recovery import in_flight
from tests.chaos.scene import Scene
from tests.chaos.weather import SILENT, Spell

WAITING, GROUP, ACCEPTED_FIRST = 100, 10, 4
SECONDS_TO_RECORD, SECONDS_TO_LOOK = 2.0, 6.0
SECONDS_FOR_CRITICAL = 5.0
SECONDS_TO_WAIT = 30
"""The time-out of the email channel for each step."""
LONG = 10**6


def from_the_start(scene: Scene) -> Figures:
    """52: the second provider has all that waits within 30 s of the first failure, and what is CRITICAL at once."""
    scene.witness.foretell(Spell(LONG, SILENT))
    timeout = scene.size(SECONDS_TO_WAIT, 3)
    with posted(*carriers(scene, timeout)), scene.pool() as pool:
        scene.enqueue(WAITING, event=ChaosEvents.LETTER)
        pool.start(scene.worker(threads=2))
        time.sleep(1)
        scene.enqueue(1, event=ChaosEvents.ALARM)
        scene.drain(pool)
    figures = scene.figures("52 a provider is silent", f"{WAITING} waiting", pool)
    figures.bound = 0
    return told_of_failover(scene, figures, timeout, most=scene.size(30, 4))


def carriers(scene: Scene, seconds: float) -> list[dict[str, Any]]:
    """The small run has a shorter time-out for each step of the conversation; the full run the channel's own."""
    timeout = {"timeout": seconds} if scene.fast else {}
    return [carrier("first", scene.witness.first, **timeout), carrier("second", scene.witness.second, **timeout)]


def told_of_failover(scene: Scene, figures: Figures, timeout: float, most: float) -> Figures:
    """How long after the first failure the second provider had accepted them."""
    calls = [call for call in scene.witness.calls() if call.answer == "accepted"]
    failures = NotificationLog.objects.filter(kind=NotificationLog.Kind.ATTEMPT, success=False)
    figures.zero["never failed"] = int(not failures.exists())
    figures.zero["not by the second"] = sum(call.door != SECOND for call in calls)
    if not failures.exists():
        return figures
    failed_at = first_failure(scene, timeout)
    critical = Delivery.objects.filter(notification__event=ChaosEvents.ALARM.value).values_list("pk", flat=True)
    waits = {call.delivery: call.at - failed_at for call in calls}
    critical_waits = [waits.get(pk, float("inf")) for pk in critical]
    figures.zero["accepted too late"] = sum(wait > most for wait in waits.values())
    figures.zero["critical waited"] = sum(wait > SECONDS_FOR_CRITICAL for wait in critical_waits)
    figures.told["failures"] = str(failures.count())
    figures.told["accepted at most"] = f"{max(waits.values(), default=0):.1f} s after the first failure"
    figures.told["critical"] = f"{max(critical_waits):.1f} s after it"
    return figures


def first_failure(scene: Scene, timeout: float) -> float:
    """When the first time-out had passed, or sooner, if a failure was recorded sooner."""
    silent = min(call.at for call in scene.witness.calls() if call.answer == "silent")
    failures = NotificationLog.objects.filter(kind=NotificationLog.Kind.ATTEMPT, success=False)
    recorded = failures.order_by("sent_at").values_list("sent_at", flat=True)[0]
    return min(silent + timeout, recorded.astimezone(UTC).timestamp())


def inside_a_group(scene: Scene) -> Figures:
    """52: a provider falls silent in a group: what it has accepted is recorded while the group still hangs."""
    scene.witness.foretell(Spell(LONG, SILENT, ACCEPTED_FIRST))
    with posted(*carriers(scene, 8)), scene.pool() as pool:
        scene.enqueue(GROUP, event=ChaosEvents.LETTER)
        pool.start(scene.worker())
        late, hung = watch_the_records(scene)
        scene.drain(pool)
    figures = scene.figures("52 silent inside a group", f"{ACCEPTED_FIRST} of {GROUP} accepted", pool)
    figures.bound = 0
    figures.zero["recorded late"] = sum(seconds > SECONDS_TO_RECORD for seconds in late.values())
    figures.zero["accepted too few"] = ACCEPTED_FIRST - len(late)
    figures.zero["did not hang"] = int(not hung)
    figures.told["recorded after"] = f"{max(late.values(), default=0):.1f} s at most"
    return figures


def watch_the_records(scene: Scene) -> tuple[dict[int, float], bool]:
    """Seconds from each acceptance until it was recorded, infinite if it never was; and whether others still hung.

    Looks for some seconds after the last acceptance, or until all of them are recorded.
    """
    recorded: dict[int, float] = {}
    deadline = time.monotonic() + 3 * SECONDS_TO_LOOK
    accepted: dict[int, float] = {}
    while time.monotonic() < deadline and len(recorded) < ACCEPTED_FIRST:
        accepted = {call.delivery: call.at for call in scene.witness.calls() if call.answer == "accepted"}
        if len(accepted) == ACCEPTED_FIRST:
            deadline = min(deadline, time.monotonic() + SECONDS_TO_LOOK)
        for pk in Delivery.objects.filter(state="sent", pk__in=set(accepted) - set(recorded)).values_list(
            "pk", flat=True
        ):
            recorded[pk] = time.time() - accepted[pk]
        time.sleep(0.05)
    return {pk: recorded.get(pk, float("inf")) for pk in accepted}, bool(in_flight())
