"""The duplicate gate, and fingerprints."""

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace

from notifications.context import encoded
from notifications.core.rules import describe_rule
from notifications.events import NotificationEvent, NotificationPriority
from notifications.models.fingerprint import Original
from notifications.outcomes import Deliver, Reason
from notifications.sending.duplicates import make_fingerprint_function
from notifications.sending.gates import GATES_BEFORE_DUPLICATE, RECHECKED_GATES, Facts, Person, duplicate, mutes

EVENT = NotificationEvent(
    "fire", NotificationPriority.CRITICAL, ["app"], dedup_window=90, dedup_keys=("place", "floors")
)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
FACTS = Facts(EVENT, "app", "user", Person("u:1"), now=NOON, wanted_at=NOON)
HOME = SimpleNamespace(pk=1)


def fingerprint_of(recipient_key="u:1", event=EVENT, cluster=HOME, **context):
    return make_fingerprint_function(event, cluster, context)(recipient_key)


def test_the_original_is_delivered():
    assert duplicate(FACTS) == Deliver()


def test_a_duplicate_is_dropped_with_its_rule_even_if_it_is_critical():
    facts = replace(FACTS, original=Original(7, datetime(2026, 11, 20, 12, tzinfo=UTC)))
    rule = "event: the same as notification 7 of 2026-11-20 12:00:00 UTC, within the window of 90 seconds"
    drop = duplicate(facts)
    assert (drop.reason, describe_rule(drop.rule)) == (Reason.DUPLICATE, rule)


def test_the_worker_does_not_recheck_it():
    assert duplicate not in RECHECKED_GATES
    assert duplicate not in GATES_BEFORE_DUPLICATE
    assert GATES_BEFORE_DUPLICATE[-1] is mutes


def test_each_part_makes_another_fingerprint():
    other_event, other_home = replace(EVENT, name="flood"), SimpleNamespace(pk="1")
    found = [
        fingerprint_of(place="hall"),
        fingerprint_of(place="attic"),
        fingerprint_of(floors="hall"),
        fingerprint_of("u:2", place="hall"),
        fingerprint_of(event=other_event, place="hall"),
        fingerprint_of(cluster=other_home, place="hall"),
        fingerprint_of(place={"hall": None}),
    ]
    assert len(set(found)) == len(found)


def test_the_order_of_keys_and_other_values_do_not_matter():
    assert fingerprint_of(place={"a": 1, "b": 2}, floors=1) == fingerprint_of(
        floors=1, place={"b": 2, "a": 1}, seen="now"
    )


def test_an_instant_is_the_same_whatever_its_offset():
    noon = datetime(2026, 11, 20, 13, tzinfo=timezone(timedelta(hours=1)))
    assert fingerprint_of(place=encoded(noon)) == fingerprint_of(place=encoded(NOON))


def test_a_fingerprint_is_the_same_in_another_process():
    code = "from tests.sending.gates.test_duplicate import fingerprint_of; print(fingerprint_of(place='hall'))"
    script = f"import django; django.setup(); {code}"
    assert subprocess.check_output([sys.executable, "-c", script], text=True).split()[-1] == fingerprint_of(
        place="hall"
    )
