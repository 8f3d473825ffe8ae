import threading
from datetime import UTC, datetime, timedelta

import pytest

from notifications.core import clock
from notifications.testing import travelling

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)


def test_time_stands_still_until_it_is_moved():
    with travelling(NOON) as travel:
        assert clock.now() == clock.now() == NOON
        assert travel.forward(minutes=5) == NOON + timedelta(minutes=5) == clock.now()
        assert travel.to(NOON) == NOON == clock.now()


def test_it_starts_now_by_default():
    with travelling():
        assert abs(clock.now() - datetime.now(UTC)) < timedelta(minutes=1)


def test_it_ends_with_its_block():
    with travelling(NOON):
        pass
    assert clock._override is None


def test_it_applies_to_every_thread():
    seen = []
    with travelling(NOON):
        thread = threading.Thread(target=lambda: seen.append(clock.now()))
        thread.start()
        thread.join()
    assert seen == [NOON]


def test_a_naive_time_is_refused():
    with pytest.raises(ValueError, match="aware datetime"), travelling(datetime(2026, 3, 29)):
        pass
    with travelling(NOON) as travel, pytest.raises(ValueError, match="aware datetime"):
        travel.to(datetime(2026, 3, 29))
