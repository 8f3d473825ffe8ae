"""What a killed worker had in hand, as the bound of duplicates counts it."""

import threading

import pytest

from tests.chaos.channel import Parcel
from tests.chaos.failpoints import FailPoint
from tests.chaos.journal import Journal

pytestmark = pytest.mark.one_database

NO_SIGNAL = 0


def make_parcels(*ids):
    return [Parcel(delivery, epoch=0, fence=1, strikes=0, words="") for delivery in ids]


def run_in_thread(function, *arguments):
    thread = threading.Thread(target=function, args=arguments)
    thread.start()
    thread.join()


def list_pairs(journal, kind):
    return [pair for fact in journal.facts(kind) for pair in fact.pairs]


def test_what_other_threads_have_in_hand_is_written_down(tmp_path):
    journal = Journal(tmp_path / "journal")
    point = FailPoint(journal, "accepted", 1, NO_SIGNAL)
    run_in_thread(point._begin, make_parcels(1, 2), 0)
    point._begin(make_parcels(3, 4), 0)
    point._accepted(make_parcels(3, 4), 1)
    assert list_pairs(journal, "struck") == [(3, 1)]
    assert list_pairs(journal, "beside") == [(1, 1), (2, 1)]


def test_what_is_committed_is_not_in_hand(tmp_path):
    journal = Journal(tmp_path / "journal")
    point = FailPoint(journal, "accepted", 1, NO_SIGNAL)

    def deliver():
        point._begin(make_parcels(1, 2), 0)
        point._put_down()

    run_in_thread(deliver)
    point._accepted(make_parcels(3), 1)
    assert list_pairs(journal, "beside") == []
