"""Rotas as their tables hold them, and questions about them: who is on call now, next, in which gaps nobody is."""

from collections.abc import Iterable
from datetime import time
from typing import Any

from notifications.core.hours import EVERY_DAY, Hours
from notifications.escalation.rota import Absence, Layer, Override, Schedule
from notifications.models import Rota, RotaLayer, TimeOff

MIDNIGHT = time()


def load_schedule(rota: Rota) -> Schedule:
    """Return the schedule of a rota. Use ``with_plan()`` to load several rotas with few queries."""
    layers = [build_layer(layer) for layer in rota.layers.all()]
    overrides = [Override(row.user_id, row.starts_at, row.ends_at) for row in rota.overrides.all()]
    users = {member for layer in layers for member in layer.members}
    return Schedule(rota.zone, layers, overrides, load_time_off(users))


def load_time_off(user_ids: Iterable[Any]) -> list[Absence]:
    """Return the time off of users."""
    rows = TimeOff.objects.filter(user__in=user_ids) if user_ids else ()
    return [Absence(row.user_id, row.starts_at, row.ends_at) for row in rows]


def build_layer(layer: RotaLayer) -> Layer:
    """Return a layer of the table for calculating."""
    hours = None
    if layer.hours_from is not None or layer.days:
        # Days without hours are whole days.
        start, end = layer.hours_from or MIDNIGHT, layer.hours_until or MIDNIGHT
        hours = Hours(start, end, frozenset(layer.days) or EVERY_DAY)
    members = tuple(member.user_id for member in layer.members.all())
    return Layer(members, layer.starts_on, layer.hand_over, layer.turn_days, hours)
