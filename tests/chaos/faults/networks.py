"""This site cannot reach its only provider for a day, and has one message to send: at night in the coach, say.

The provider is spoken to in SMTP by the real email channel, and the times are a site's defaults; the engine's clock is
warped.
"""

from contextlib import AbstractContextManager

from notifications.models import Delivery, NotificationLog
from tests.chaos.faults.providers import BRISK, HOUR, LONG, MINUTE, THREADS, Voyage, voyage
from tests.chaos.figures import Figures
from tests.chaos.letters import carrier, posted
from tests.chaos.notification_events import ChaosEvents
from tests.chaos.scene import Scene
from tests.chaos.weather import GONE, Spell

DAY = 24 * HOUR
NOWHERE = "nothing.invalid"
"""RFC 6761, 6.4: no such name exists."""
SECONDS_TO_CONNECT = 5


def refused(scene: Scene) -> Figures:
    """51: connections are refused for a day; one message waits, loses no attempt, and arrives."""
    scene.witness.foretell(Spell(LONG, GONE))
    with posted(carrier("only", scene.witness.first, timeout=SECONDS_TO_CONNECT)), voyage(scene) as here:
        wait_for_a_day(here)
        scene.witness.foretell()
        back = here.warp.seconds
        scene.drain(here.pool)
        return judged(here, "51 one message, refused for a day", back)


def unknown_host(scene: Scene) -> Figures:
    """51: the provider's name cannot be looked up for a day; then the site is given another, and a new worker."""
    with to_host(scene, NOWHERE), voyage(scene) as here:
        wait_for_a_day(here)
        back = here.warp.seconds
        here.pool.stop()
        with to_host(scene, "localhost"):
            here.pool.start(scene.worker(threads=THREADS))
            scene.drain(here.pool)
        return judged(here, "51 one message, no DNS for a day", back)


def to_host(scene: Scene, host: str) -> AbstractContextManager[None]:
    return posted(carrier("only", scene.witness.first, host=host, timeout=SECONDS_TO_CONNECT))


def wait_for_a_day(here: Voyage) -> None:
    """One message is sent, and fails at a real pace; then the day passes."""
    here.warp.turn(1)
    here.scene.enqueue(1, event=ChaosEvents.LETTER)
    began = here.warp.seconds
    here.warp.sleep_until(began + 3)
    here.warp.turn(here.scene.size(2160, 8640))
    here.warp.sleep_until(began + DAY)
    here.warp.turn(4 * BRISK)


def judged(here: Voyage, fault: str, back: float) -> Figures:
    figures = here.scene.figures(fault, "24 h", here.pool)
    [delivery] = Delivery.objects.all()
    tries = NotificationLog.objects.filter(kind=NotificationLog.Kind.ATTEMPT)
    accepted = [at for at, call in here.calls() if call.answer == "accepted"]
    figures.zero["not sent"] = int(delivery.state != "sent")
    figures.zero["attempts beyond the one"] = max(0, delivery.attempts - 1)
    figures.zero["never tried meanwhile"] = int(not tries.filter(success=False).exists())
    figures.told |= {"attempts": str(delivery.attempts), "tries": str(tries.count())}
    if accepted:
        figures.told["sent after its return"] = f"{(accepted[0] - back) / MINUTE:.1f} min"
    figures.evidence.append(f"state {delivery.state}, {delivery.reason}, {delivery.attempts} attempts")
    return figures
