"""``SendResult``: when it is refused."""

from collections import Counter

import pytest

from notifications.outcomes import TECHNICAL_REASONS, Reason, SendResult


@pytest.mark.parametrize(
    "values",
    [
        {"refused_channels": ("sms",)},
        {"problems": ("No such event.",), "bad_call": True},
        *({"reasons": Counter({reason: 1})} for reason in sorted(TECHNICAL_REASONS)),
    ],
    ids=lambda values: str(next(iter(values.values()))),
)
def test_a_refused_result_is_false(values):
    result = SendResult(1, queued=1, **values)
    assert result.refused is True
    assert bool(result) is False


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"not_configured": ("sms",)},
        {"problems": ("'eta' is missing.",)},
        {"spooled": True},
        *({"reasons": Counter({reason: 1})} for reason in (Reason.PREFERENCE, Reason.NOT_MEMBER, Reason.DUPLICATE)),
    ],
    ids=lambda values: str(next(iter(values), "nothing")),
)
def test_any_other_result_is_true(values):
    result = SendResult(1, **values)
    assert result.refused is False
    assert bool(result) is True
