"""Rules as text: in the active language where they are shown, in English in the log."""

from datetime import UTC, datetime

import pytest
from django.utils import translation

from notifications.core.rules import JOINTS, RULE_TEXTS, describe_rule, join_rules, log_text, parts_of
from notifications.outcomes import Rule, RuleKind

NIGHT = Rule(RuleKind.QUIET_HOURS, "user", {"hours": "22:00–07:00", "zone": "UTC"})
BATCH = Rule(RuleKind.BATCH, "event", {"seconds": 900})


def test_every_kind_has_a_text():
    assert RULE_TEXTS.keys() | JOINTS.keys() == set(RuleKind)


def test_without_a_rule_there_is_no_text():
    assert describe_rule(None) == log_text(None) == ""
    assert parts_of(None) == ()


@pytest.mark.parametrize(
    ("kind", "joint"), [(RuleKind.EACH_OF, ", and "), (RuleKind.TOGETHER, ", and at the same time ")]
)
def test_several_rules_are_joined(kind, joint):
    both = join_rules(kind, (BATCH, NIGHT))
    assert parts_of(both) == (BATCH, NIGHT)
    assert describe_rule(both) == f"{describe_rule(BATCH)}{joint}{describe_rule(NIGHT)}"
    assert join_rules(kind, (NIGHT,)) == NIGHT
    assert parts_of(NIGHT) == (NIGHT,)


def test_a_rule_that_ends_names_its_end():
    detail = {"kind": "topic", "value": "sale"}
    until = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert describe_rule(Rule(RuleKind.MUTED_UNTIL, "user", detail, until)).endswith("until 2026-03-01 12:00 UTC")
    assert describe_rule(Rule(RuleKind.MUTED, "user", detail)) == "user: muted topic sale for ever"


def test_the_log_is_in_english(monkeypatch):
    monkeypatch.setattr("notifications.core.rules.gettext", lambda text: text.replace("batch window", "Sammelzeit"))
    with translation.override("de"):
        assert describe_rule(BATCH) == "event: Sammelzeit of 900 seconds"
        assert log_text(BATCH) == "event: batch window of 900 seconds"


def test_rules_are_hashable():
    assert len({NIGHT, BATCH, Rule(RuleKind.BATCH, "event", {"seconds": 900})}) == 2
