"""A/B variants: stable, in proportion to their weights, and equal in every process."""

import hashlib
import subprocess
import sys

import pytest

from notifications.core.variants import choose_variant

VARIANTS = {"short": 1, "long": 1}
COUNT = 100_000
PROGRAM = """
import hashlib
from notifications.core.variants import choose_variant
chosen = (choose_variant({"short": 1, "long": 1}, "spring", f"u:{number}") for number in range(100_000))
print(hashlib.sha256("".join(name[0] for name in chosen).encode()).hexdigest())
"""


@pytest.mark.one_database
def test_a_hundred_thousand_assignments_are_equal_in_four_processes():
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        )
        for seed in "0123"
    ]
    answers = {process.communicate()[0].strip() for process in processes}
    chosen = "".join(choose_variant(VARIANTS, "spring", f"u:{number}")[0] for number in range(COUNT))
    assert answers == {hashlib.sha256(chosen.encode()).hexdigest()}


@pytest.mark.parametrize(
    ("variants", "share"), [(VARIANTS, 0.5), ({"a": 3, "b": 1}, 0.75), ({"a": 0.2, "b": 0.8}, 0.2)]
)
def test_the_shares_follow_the_weights(variants, share):
    first = next(iter(variants))
    count = sum(choose_variant(variants, "spring", f"u:{number}") == first for number in range(COUNT))
    assert abs(count / COUNT - share) < 0.006


def test_two_campaigns_divide_the_recipients_independently():
    same = sum(
        choose_variant(VARIANTS, "spring", f"u:{number}") == choose_variant(VARIANTS, "autumn", f"u:{number}")
        for number in range(COUNT)
    )
    assert abs(same / COUNT - 0.5) < 0.006


def test_there_is_no_variant_without_variants():
    assert choose_variant({}, "spring", "u:1") == ""
