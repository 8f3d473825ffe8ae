"""Proof that the oracle can fail: an engine that lies, and one that stutters. Run only when asked for by number 0."""

from collections.abc import Callable

from notifications.outcomes import Verdict
from tests.chaos.channel import ChaosChannel, Parcel
from tests.chaos.figures import Figures
from tests.chaos.scene import Scene

DELIVERIES = 12


def liar(scene: Scene) -> Figures:
    """0: says *accepted* without handing over: every delivery must be found lost."""
    return deliver_by(scene, "0 a liar", lambda channel, parcel: Verdict.ACCEPTED)


def stutterer(scene: Scene) -> Figures:
    """0: hands everything over twice: every delivery must be counted."""
    honest = ChaosChannel.hand_over
    return deliver_by(scene, "0 a stutterer", lambda channel, parcel: [honest(channel, parcel) for _ in range(2)][0])


def deliver_by(scene: Scene, name: str, hand_over: Callable[[ChaosChannel, Parcel], Verdict]) -> Figures:
    ChaosChannel.hand_over = hand_over
    scene.enqueue(DELIVERIES)
    with scene.pool() as pool:
        pool.start(scene.worker())
        scene.drain(pool)
    return scene.figures(name, f"{DELIVERIES} deliveries", pool)
