"""However takers and clocks mix, no bucket lets more through than its burst and what came in."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifications.delivering.limits import Level, Rate, TokenRequest, decide_grant, parse_rate
from notifications.models import Bucket
from notifications.models.bucket import MAX_CLOCK_DIFFERENCE

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
KEYS = ("a", "b", "c")
texts = st.builds("{}/{} burst {}".format, st.integers(1, 50), st.sampled_from(["s", "m", "h"]), st.integers(1, 20))
# Microseconds by which the clock of the next taker differs: mostly a little, backwards too, sometimes a lot.
steps = st.one_of(st.integers(-5_000_000, 10_000_000), st.integers(-3_500_000_000, 20_000_000_000))


unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Store:
    """Buckets as the table keeps them, from one transaction to the next."""

    def __init__(self, rates: dict[str, Rate]) -> None:
        self.rates, self.rows = rates, {}

    def needs(self, keys, critical=()):
        return [TokenRequest(key, self.rates[key], key in critical, max_extra_wait=300) for key in keys]

    def take(self, wanted, now, keep=True):
        keys = {need.key for needs in wanted.values() for need in needs}
        found = {key: self.rows.get(key, (now, now, now)) for key in keys}
        levels = {
            key: Level(Bucket(key=key, full_at=full, seen_at=seen, promised_at=promised), now)
            for key, (full, seen, promised) in found.items()
        }
        granted = decide_grant(wanted, levels, now)
        if keep:
            rows = [level.to_bucket() for level in levels.values() if level.is_changed]
            self.rows |= {row.key: (row.full_at, row.seen_at, row.promised_at) for row in rows}
        return granted

    def delete_full(self, now):
        self.rows = {key: row for key, row in self.rows.items() if row[0] > now - MAX_CLOCK_DIFFERENCE}


@st.composite
def stories(draw):
    """Rates, and a list of takers: how far the clock is off, which buckets each needs, which of those critically."""
    rates = {key: parse_rate(draw(texts)) for key in KEYS}
    some = st.lists(st.sampled_from(KEYS), min_size=1, max_size=3, unique=True)
    takers = st.tuples(steps, st.lists(some, min_size=1, max_size=12), st.sets(st.sampled_from(KEYS), max_size=1))
    return Store(rates), draw(st.lists(takers, min_size=1, max_size=30))


def times(story):
    """The clock of each taker: at most as far behind the others as clocks differ."""
    now, latest = NOON, None
    for step, several, critical in story:
        now += timedelta(microseconds=step)
        if latest is not None:
            now = max(now, latest - MAX_CLOCK_DIFFERENCE)
        latest = max(now, latest or now)
        yield now, latest, several, critical


def seconds(later, earlier):
    return Fraction((later - earlier) // timedelta(microseconds=1), 1_000_000)


@unhurried
@given(stories())
def test_no_span_of_time_lets_more_through_than_the_burst_and_what_came_in(story):
    store, takers = story
    passed = {key: [] for key in KEYS}
    for now, latest, several, _ in times(takers):
        wanted = {number: store.needs(keys) for number, keys in enumerate(several)}
        for number in sorted(store.take(wanted, now).ids):
            for key in several[number]:
                # A bucket knows only the clocks of the takers that drew from it.
                passed[key].append(max([now, *passed[key][-1:]]))
        store.delete_full(latest)
    for key, moments in passed.items():
        tokens, span, burst = (Fraction(value) for value in vars_of(store.rates[key]))
        for first, since in enumerate(moments):
            for count, until in enumerate(moments[first:], start=1):
                assert count <= burst + seconds(until, since) * tokens / span


def vars_of(rate):
    return rate.tokens, rate.seconds, rate.burst


@unhurried
@given(stories())
def test_what_is_critical_only_ever_takes_away_from_the_others(story):
    store, takers = story
    for now, _, several, critical in times(takers):
        wanted = {number: store.needs(keys, critical) for number, keys in enumerate(several)}
        granted = store.take(wanted, now)
        for number, needs in wanted.items():
            if all(need.is_critical for need in needs):
                assert number in granted.ids
        for key, (full, seen, _) in store.rows.items():
            assert timedelta(0) <= full - seen <= 2 * store.rates[key].time_to_fill


@unhurried
@given(stories())
def test_who_is_refused_changes_no_level_and_is_told_when_to_come_again(story):
    store, takers = story
    for now, _, several, _ in times(takers):
        store.take({number: store.needs(keys) for number, keys in enumerate(several)}, now)
        for keys in several:
            before = {key: row[:1] for key, row in store.rows.items()}
            alone = {0: store.needs(keys)}
            granted = store.take(alone, now, keep=bool(store.take(alone, now, keep=False).waits))
            if granted.waits:
                assert {key: row[:1] for key, row in store.rows.items()} == before
                assert granted.waits[0] > 0
                later = now + timedelta(seconds=granted.waits[0])
                assert store.take(alone, later, keep=False).ids == {0}


@unhurried
@given(texts, st.integers(2, 40))
def test_who_asks_at_every_token_gets_every_token(text, count):
    store = Store({"a": parse_rate(text)})
    burst = int(parse_rate(text).burst)
    assert len(store.take({number: store.needs("a") for number in range(burst + 5)}, NOON).ids) == burst
    for number in range(1, count):
        now = NOON + parse_rate(text).interval * number
        assert not store.take({0: store.needs("a")}, now - timedelta.resolution).ids, "a moment too early"
        assert store.take({0: store.needs("a"), 1: store.needs("a")}, now).ids == {0}
