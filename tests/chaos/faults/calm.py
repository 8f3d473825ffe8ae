"""Nothing happens. Only a broken engine makes a story of it."""

from tests.chaos.figures import Figures
from tests.chaos.scene import Scene

DELIVERIES = 12


def calm(scene: Scene) -> Figures:
    """0: a dozen deliveries in fair weather."""
    scene.enqueue(DELIVERIES)
    with scene.pool() as pool:
        pool.start(scene.worker())
        scene.drain(pool)
    return scene.figures("0 calm", f"{DELIVERIES} deliveries", pool)
