"""Which stories there are, and on which databases they are told."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from notifications.core import extras
from tests import redis_server
from tests.chaos.faults import (
    calm,
    claims,
    crowds,
    farewells,
    full,
    graces,
    hooks,
    kills,
    lockouts,
    networks,
    outages,
    pools,
    providers,
    recoveries,
    rollbacks,
    silences,
    stops,
)
from tests.chaos.figures import Figures
from tests.chaos.scene import Scene

BOTH = ("sqlite", "postgres")


class Act(NamedTuple):
    """A story, and the number of its fault.

    :param alone: whether the story runs while no other one does: because it keeps every core busy, or because it judges
        by seconds how fast processes end, which other stories would delay.
    """

    number: str
    story: Callable[[Scene], Figures]
    keyed: bool = False
    lie: str = ""
    alone: bool = False


def chosen(only: set[str], database: str, alone: bool | None = None) -> Iterator[Act]:
    """Return the stories with one of these numbers or lies, or all but the lies, whose number is 0; on this database.

    :param alone: return only those that run alone, or only those that do not; None means both.
    """
    for act, databases in PROGRAMME:
        is_chosen = only & {act.number, act.lie} if only else act.number != "0"
        if database in databases and is_chosen and alone in (None, act.alone):
            yield act


PROGRAMME: list[tuple[Act, tuple[str, ...]]] = [
    (Act("0", calm.calm, lie="lying"), BOTH),
    (Act("0", calm.calm, lie="stuttering"), BOTH),
    (Act("0", recoveries.worker_lost, lie="heartless"), BOTH),
    (Act("0", providers.day_without, lie="tireless"), BOTH),
    (Act("0", providers.day_without, lie="crowding"), BOTH),
    (Act("0", providers.brown_out, lie="headlong"), BOTH),
    (Act("1", kills.after_acceptance), BOTH),
    (Act("1", kills.after_acceptance_keyed, keyed=True), BOTH),
    (Act("2", kills.before_call), BOTH),
    (Act("3", kills.anywhere), BOTH),
    (Act("3", recoveries.worker_lost), BOTH),
    (Act("4", stops.rolling_restart), BOTH),
    (Act("5", stops.frozen), BOTH),
    (Act("5", stops.frozen_in_transaction), ("postgres",)),
    (Act("6", crowds.many_claim, alone=True), BOTH),
    (Act("8", outages.restarts), ("postgres",)),
    (Act("8", recoveries.database_lost), ("postgres",)),
    (Act("9", outages.locked), ("sqlite",)),
    (Act("11", full.for_callers), ("sqlite",)),
    (Act("11", full.for_workers), ("sqlite",)),
    (Act("14", crowds.poison_when_sent), BOTH),
    (Act("14", crowds.poison_when_prepared), BOTH),
    (Act("17", rollbacks.rolled_back), BOTH),
    (Act("22", providers.day_without), BOTH),
    (Act("22", providers.brown_out), BOTH),
    (Act("47", lockouts.alone), BOTH),
    (Act("47", lockouts.together), BOTH),
    (Act("48", farewells.database_stopped, alone=True), ("postgres",)),
    (Act("48", farewells.database_locked, alone=True), BOTH),
    (Act("48", farewells.disk_full, alone=True), ("sqlite",)),
    (Act("49", graces.within_a_group), BOTH),
    (Act("49", graces.within_groups_of_children), BOTH),
    (Act("49", graces.frozen_child), BOTH),
    (Act("50", claims.killed_after_claim), BOTH),
    (Act("50", claims.poison_among_innocents), BOTH),
    (Act("51", networks.refused), BOTH),
    (Act("51", networks.unknown_host), BOTH),
    (Act("52", silences.from_the_start), BOTH),
    (Act("52", silences.inside_a_group), BOTH),
    (Act("53", pools.of_two), ("postgres",)),
    (Act("53", pools.of_four), ("postgres",)),
    (Act("54", hooks.killed), BOTH),
]

if extras.is_installed("celery") and redis_server.executable():
    from tests.chaos.faults import brokers

    PROGRAMME += [
        (Act("26", brokers.lost), BOTH),
        (Act("26", brokers.recovery), BOTH),
        (Act("27", brokers.redelivers), BOTH),
        (Act("0", brokers.lost, lie="blind"), BOTH),
        (Act("0", brokers.redelivers, lie="grabbing"), BOTH),
    ]
