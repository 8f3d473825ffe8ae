"""Workers are killed while they send webhooks. The endpoints ignore what they have got, by its id."""

from functools import partial

from notifications.manager import NotificationManager
from notifications.models import Delivery, WebhookAttempt
from notifications.webhooks import create_endpoint
from tests.chaos.failpoints import AFTER_ACCEPTANCE, BEFORE_CALL
from tests.chaos.faults.kills import kill_at
from tests.chaos.figures import Figures
from tests.chaos.hooks import hooked
from tests.chaos.notification_events import ChaosEvents
from tests.chaos.scene import Scene

ENDPOINTS = 10
NOTIFICATIONS = 15


def killed(scene: Scene) -> Figures:
    """54: killed before the call, and after the endpoint accepted: each message is taken once, with one id."""
    kills = scene.size(300, 20)
    with hooked(), scene.pool() as pool:
        for number in range(ENDPOINTS):
            create_endpoint(None, f"http://127.0.0.1:{scene.witness.hook}/{number}")
        kill_at(scene, pool, (*AFTER_ACCEPTANCE, *BEFORE_CALL), kills, partial(top_up, scene))
        scene.drain(pool)
    figures = scene.figures("54 killed while sending webhooks", f"{kills} kills", pool)
    figures.bound = 0
    repeated = sum(call.answer == "repeated" for call in scene.witness.calls())
    figures.zero["nothing repeated"] = int(not repeated)
    figures.zero["no attempt logged"] = int(not WebhookAttempt.objects.exists())
    figures.told["repetitions that endpoints ignored"] = str(repeated)
    return figures


def top_up(scene: Scene) -> None:
    """Keep something to do for the workers."""
    if Delivery.objects.filter(state="ready").count() < ENDPOINTS * NOTIFICATIONS // 2:
        for _ in range(NOTIFICATIONS):
            NotificationManager.send(ChaosEvents.HOOK, [], context={"words": "a hook"})
