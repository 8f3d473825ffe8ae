"""Equal refusals: the receipts around them decide whether the provider is to blame."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.core.refusals import Streak, count_final_receipts, judge_receipts
from notifications.outcomes import Blame, Receipt, Suppress, Verdict

ACCEPTED = Receipt(None, Verdict.ACCEPTED)
SPAM = Receipt(None, Verdict.PERMANENT, code="550 5.7.1", blames=Blame.MESSAGE)
BARE = Receipt(None, Verdict.PERMANENT, code="550", blames=Blame.MESSAGE, suppress=Suppress.AMONG_ACCEPTED)
OTHER = Receipt(None, Verdict.PERMANENT, code="554", blames=Blame.MESSAGE)
LAST = Receipt(None, Verdict.PERMANENT, code="554 5.7.1", blames=Blame.MESSAGE)
NOBODY = Receipt(None, Verdict.PERMANENT, code="550 5.1.1", blames=Blame.RECIPIENT, suppress=Suppress.NOW)
BUSY = Receipt(None, Verdict.TEMPORARY, code="450", blames=Blame.RECIPIENT)


def verdicts(receipts, before=None):
    pairs = [(receipt, f"{number}@example.com") for number, receipt in enumerate(receipts)]
    judged, _ = judge_receipts(pairs, before or Streak(), threshold=5)
    return [(receipt.verdict.value, receipt.suppress.value) for receipt in judged]


DEAD, SUPPRESSED = ("permanent", "no"), ("permanent", "now")
OURS, FINE = ("configuration", "no"), ("accepted", "no")


@pytest.mark.parametrize(
    ("receipts", "expected"),
    [
        ([SPAM], [DEAD]),
        ([SPAM, SPAM], [OURS, OURS]),
        ([SPAM, ACCEPTED, SPAM], [DEAD, FINE, DEAD]),
        ([SPAM, BUSY, SPAM], [OURS, ("temporary", "no"), OURS]),
        ([SPAM, BARE], [DEAD, DEAD]),
        ([SPAM, BARE, NOBODY, SPAM], [OURS, DEAD, SUPPRESSED, OURS]),
        ([SPAM, BARE, NOBODY, BUSY, OTHER, LAST], [OURS] * 3 + [("temporary", "no"), OURS, OURS]),
        ([ACCEPTED, BARE, ACCEPTED], [FINE, SUPPRESSED, FINE]),
        ([BARE, ACCEPTED], [DEAD, FINE]),
        ([ACCEPTED, BARE], [FINE, DEAD]),
        ([ACCEPTED, BARE, BARE, ACCEPTED], [FINE, OURS, OURS, FINE]),
        ([NOBODY] * 4, [SUPPRESSED] * 4),
        ([NOBODY] * 6, [OURS] * 6),
        ([NOBODY] * 4 + [ACCEPTED] + [NOBODY] * 4, [SUPPRESSED] * 4 + [FINE] + [SUPPRESSED] * 4),
    ],
)
def test_an_answer_is_judged_by_its_neighbours(receipts, expected):
    assert verdicts(receipts) == expected


def test_repeated_refusals_of_one_recipient_are_not_blamed_on_the_provider():
    judged, streak = judge_receipts([(SPAM, "a@example.com")] * 5, Streak(), threshold=5)
    assert {receipt.verdict for receipt in judged} == {Verdict.PERMANENT}
    assert len(streak.refused) == 1


def test_refusals_of_an_earlier_group_count():
    _, before = judge_receipts([(SPAM, "a@example.com")], Streak(), threshold=5)
    assert verdicts([SPAM], before) == [OURS]


@given(st.lists(st.sampled_from([ACCEPTED, SPAM, BARE, NOBODY, BUSY]), max_size=12), st.data())
def test_later_receipts_do_not_change_final_ones(receipts, data):
    seen = data.draw(st.integers(min_value=0, max_value=len(receipts)))
    count = count_final_receipts(receipts[:seen])
    assert verdicts(receipts)[:count] == verdicts(receipts[:seen])[:count]
