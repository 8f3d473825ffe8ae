"""Figures about deliveries and the queue: moving the new ones into hourly rows, sampling the queue, and availability.

:mod:`notifications.models.figure` describes the tables, and :mod:`notifications.storage.figures` has the statements.
"""

from notifications.monitoring.figures.availability import roll_up_availability
from notifications.monitoring.figures.keeping import (
    count_recent_outcomes,
    delete_expired,
    delete_old_figures,
    move_all,
)
from notifications.monitoring.figures.sampling import measure_bands, sample_queue

__all__ = [
    "count_recent_outcomes",
    "delete_expired",
    "delete_old_figures",
    "measure_bands",
    "move_all",
    "roll_up_availability",
    "sample_queue",
]
