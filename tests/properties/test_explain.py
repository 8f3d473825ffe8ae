"""In hundreds of situations, ``explain()`` and ``why()`` agree with ``send()``, and every drop and hold has a rule."""

from collections import Counter
from datetime import UTC, datetime, time, timedelta
from enum import Enum
from random import Random

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connection, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from notifications.core.hours import DAYS
from notifications.core.rules import describe_rule, log_text
from notifications.events import NotificationEvent, NotificationPriority
from notifications.exceptions import NotPermitted
from notifications.explain.steps import combine_answers
from notifications.manager import NotificationManager
from notifications.models import (
    Cluster,
    Delivery,
    Mute,
    Notification,
    NotificationLog,
    SharedPreference,
    Suppression,
    UserSettings,
)
from notifications.outcomes import Deliver, Drop, Hold
from notifications.recipients import Address
from notifications.testing import temporary_events, travelling

pytestmark = pytest.mark.django_db

WINTER = datetime(2026, 11, 20, tzinfo=UTC)
ZONES = ["", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Kiritimati", "Australia/Lord_Howe"]
HOUR = timedelta(hours=1)
SITUATIONS = 400
ALL_OUTCOMES = {
    *("unknown_user", "inactive", "not_member", "no_address", "invalid_address", "suppressed", "preference", "muted"),
    *("duplicate", "channel_not_configured", "not_permitted", "queue_full", "quiet_hours", "delivery_window"),
    *("batch", "digest", "scheduled", "late", "ready"),
}

MUTES = ("topic", "event", "sender")
FREQUENT = {"quiet_hours", "delivery_window", "digest", "batch"}


class Events(Enum):
    LEAK = "leak"


CHOICES = [
    {"channels": {"EMAIL": False}},
    {"channels": {"email": True, "app": False}},
    {"events": {"leak": {"email": False, "app": True}}},
    {"categories": {"Water": False}},
    {"events": {"*": True}},
]
UNREACHED = [*("stranger", "inactive", "homeless", "broken", "suppressed", "unknown"), "email", "phone", "bad email"]


class Dice:
    """Makes the same situation from the same number."""

    def __init__(self, seed):
        self.random = Random(seed)
        self.any = self.random.choice

    def mostly(self, usual, *rare):
        """Return the usual value in two cases of three."""
        return usual if self.random.random() < 0.67 else self.any(rare)

    def nearly_always(self, usual, *rare):
        """Return the usual value in 19 cases of 20. If a check rejects a send, no gate is called."""
        return usual if self.random.random() < 0.95 else self.any(rare)

    def situation(self):
        return {
            "event": self.event(),
            "options": self.options(),
            "recipient": self.any(["member"] * 4 + [self.any(UNREACHED)]),
            "settings": self.mostly(self.settings(), None),
            "role": self.mostly({}, *CHOICES),
            "cluster": self.mostly({}, *CHOICES),
            "mutes": [(kind, self.any([None, -1, 5])) for kind in MUTES if self.nearly_always(0, 1)],
            "actor": self.any([None, "anybody", "permitted"]),
            "sent_before": self.mostly(None, (60, "ready"), (60, "dead"), (901, "ready")),
            "waiting": self.any([1, 2, 3]),
            "limits": self.nearly_always({}, *({name: 2} for name in ("QUEUE_LIMIT", "CLUSTER_QUEUE_LIMIT"))),
            "when_full": self.any(["refuse", "shed"]),
            "site_hours": self.any([(), ("22:00", "07:00")]),
            "digest_channels": self.any([["email"], ["email", "app"]]),
            "minutes": self.random.randrange(400 * 24 * 60),
        }

    def event(self):
        return {
            "priority": self.any(list(NotificationPriority)),
            "supported_channels": self.nearly_always(
                self.any([["email", "app"], ["email", "app", "log"], ["app", "log"]]), ["email", "app", "log", "sms"]
            ),
            "dedup_window": self.any([900, 0]),
            **self.mostly(
                {"batch_window": 0}, {"batch_window": 300, "batch_scheduled": True}, {"batch_window": "default"}
            ),
            "digest": self.mostly(None, True, True, False),
            "ignores_quiet_hours": self.nearly_always(False, True),
            "permission": self.nearly_always("", "auth.change_group"),
        }

    def options(self):
        return {
            "channels": self.mostly(None, ["email"], ["app", "sms"]),
            "level": self.mostly(None, "critical", "debug"),
            "send_at": self.mostly(None, None, None, -1, 1, 10, 100),
            "expires_at": self.mostly(None, -1, 2, 30),
            "topic": self.any(["", "Cellar"]),
        }

    def settings(self):
        windows = {"email": [["08:00", "12:00"]]}, {"*": [["14:00", "18:00", ["mon", "fri"]]]}
        return {
            "choices": self.mostly({}, *CHOICES),
            "hours": self.mostly((self.time(), self.time()), None),
            "windows": self.nearly_always(self.any(windows), {}),
            "zone": self.any(ZONES),
            "digest": self.any(["none", "daily", "weekly"]),
            "digest_hour": self.random.randrange(24),
            "digest_day": self.random.randrange(7),
            "address": self.mostly("", "other@example.com", "broken"),
        }

    def time(self):
        return time(self.random.randrange(24), self.any([0, 0, 30, 59]))


class Site:
    """A cluster in which a situation is set up."""

    def __init__(self, situation, now):
        self.situation, self.now = situation, now
        self.cluster = Cluster.objects.create(name="Home", slug="home")
        self.actor = self.make_actor()
        self.recipient = self.make_recipient()
        if isinstance(self.recipient, User) and situation["recipient"] != "unknown":
            self.choose()
        SharedPreference(cluster=self.cluster, **situation["cluster"]).save()
        self.fill()

    def make_actor(self):
        if self.situation["actor"] is None:
            return None
        actor = User.objects.create_user("actor")
        if self.situation["actor"] == "permitted":
            actor.user_permissions.add(Permission.objects.get(codename="change_group"))
        return actor

    def make_recipient(self):
        kind, email = self.situation["recipient"], "ann@example.com"
        if kind in ("suppressed", "bad email"):
            Suppression.objects.suppress([("email", email)], Suppression.Cause.HARD_BOUNCE, self.now)
        if kind == "unknown":
            return User(pk=10**6)
        if kind == "phone":
            return Address(phone="+4915112345678")
        if kind.endswith("email"):
            return Address(email=email)
        email = {"homeless": "", "broken": "ann@"}.get(kind, email)
        user = User.objects.create_user("ann", is_active=kind != "inactive")
        User.objects.filter(pk=user.pk).update(email=email)
        if kind != "stranger":
            self.cluster.members.add(user)
        user.refresh_from_db()
        return user

    def choose(self):
        role = Group.objects.create(name="Plumbers")
        self.recipient.groups.add(role)
        SharedPreference(cluster=self.cluster, group=role, **self.situation["role"]).save()
        values = {"topic": "cellar", "event": "leak", "sender": str(self.actor.pk) if self.actor else "0"}
        for kind, ends_in in self.situation["mutes"]:
            until = None if ends_in is None else self.now + ends_in * HOUR
            owner = {"user": self.recipient, "cluster": self.cluster}
            if not Mute.objects.filter(kind=kind, **owner).exists():
                Mute(kind=kind, value=values[kind], until=until, **owner).save()
        if chosen := self.situation["settings"]:
            self.settings(chosen).save()

    def settings(self, chosen):
        start, end = chosen["hours"] or (None, None)
        return UserSettings(
            user=self.recipient,
            cluster=self.cluster,
            quiet_from=start,
            quiet_until=end,
            delivery_windows=chosen["windows"],
            time_zone=chosen["zone"],
            digest=chosen["digest"],
            digest_hour=chosen["digest_hour"],
            digest_day=chosen["digest_day"],
            addresses={"email": chosen["address"]} if chosen["address"] else {},
            **chosen["choices"],
        )

    def fill(self):
        with temporary_events() as known:
            known[Events.LEAK] = NotificationEvent("leak", NotificationPriority.LOW, ["app"])
            for number in range(self.situation["waiting"]):
                user = User.objects.create_user(f"other{number}")
                self.cluster.members.add(user)
                NotificationManager.send(Events.LEAK, user, self.cluster)

    def arguments(self):
        given = dict(self.situation["options"])
        for name in ("send_at", "expires_at"):
            given[name] = None if given[name] is None else self.now + given[name] * HOUR
        if given["send_at"] and given["expires_at"] and given["expires_at"] <= given["send_at"]:
            given["expires_at"] = None
        known = self.situation["event"]["supported_channels"]
        supported = [channel for channel in given["channels"] or () if channel in known]
        context = {"room": "cellar", "seen": 1}
        return {**given, "channels": supported or None, "context": context, "actor": self.actor}

    def ask(self, verb):
        return verb(Events.LEAK, self.recipient, self.cluster, **self.arguments())


def build_event(situation):
    given = dict(situation["event"])
    if given["priority"] == NotificationPriority.CRITICAL:
        given |= {"batch_window": 0, "batch_scheduled": False, "digest": None}
    keys = ("room",) if given["dedup_window"] else ()
    return NotificationEvent("leak", category="water", dedup_keys=keys, **given)


def send_before(site, clock):
    if site.situation["sent_before"] is None:
        return
    seconds, state = site.situation["sent_before"]
    clock.forward(seconds=-seconds)
    with override_settings(NOTIFICATIONS={"CHANNELS": {"log": {}}}):
        try:
            result = site.ask(NotificationManager.send)
        except NotPermitted:
            result = None
    if result and state == "dead":
        Delivery.objects.filter(notification=result.notification_id).update(state="dead")
    clock.to(site.now)


def read_outcomes(result, channels):
    """Return state, reason and time by channel, as the tables have them."""
    rows = Delivery.objects.filter(notification=result.notification_id)
    found = {row.channel: (row.state, row.reason, row.due_at) for row in rows}
    for row in NotificationLog.objects.filter(notification=result.notification_id, kind="drop", delivery=None):
        refused = channels if row.recipient_key == "*" else [row.channel]
        found |= dict.fromkeys(refused, ("dropped", row.reason, None))
    return found | dict.fromkeys(result.not_configured, ("dropped", "channel_not_configured", None))


def get_outcome(channel):
    answer = channel.answer
    if isinstance(answer, Hold):
        return "held", answer.reason, answer.until
    return ("dropped", answer.reason, None) if isinstance(answer, Drop) else ("ready", "", None)


def check_consistency(explanation):
    """Check that the steps agree with the answer, and that every drop and hold has a rule and a remedy."""
    seen = Counter()
    for channel in explanation.channels:
        steps = [step for step in channel.steps if step.gate != "expires_at"]
        assert combine_answers(steps) == channel.answer
        for step in channel.steps:
            assert step.rule
            assert bool(step.change) == (not isinstance(step.answer, Deliver))
            if not isinstance(step.answer, Deliver):
                assert step.change in str(explanation)
        late = any(step.gate == "expires_at" and isinstance(step.answer, Drop) for step in channel.steps)
        assert (channel.arrives_at is None) == (isinstance(channel.answer, Drop) or late)
        seen["late" if late else str(get_outcome(channel)[1] or "ready")] += 1
    anybody = [channel for channel in explanation.channels if channel.channel != "log"]
    assert explanation.reaches == any(channel.arrives_at for channel in anybody)
    return seen


@pytest.mark.slow
def test_explain_and_why_agree_with_send():
    seen = Counter()
    for number in range(SITUATIONS):
        try:
            seen += run_situation(Dice(number).situation())
        except BaseException as error:
            error.add_note(f"situation {number}: {Dice(number).situation()}")
            raise
        if number == 199:
            assert not {kind for kind in FREQUENT if seen[kind] < 10}, seen
    assert seen.keys() == ALL_OUTCOMES, seen


def run_situation(situation):
    now = WINTER + timedelta(minutes=situation["minutes"])
    site_wide = {
        "QUIET_HOURS": situation["site_hours"],
        "DIGEST_CHANNELS": situation["digest_channels"],
        **situation["limits"],
    }
    with temporary_events() as known, travelling(now) as clock, transaction.atomic():
        site = Site(situation, now)
        known[Events.LEAK] = build_event(situation)
        send_before(site, clock)
        configured = {"CHANNELS": {"log": {}}, "QUEUE_FULL": situation["when_full"], **site_wide}
        with override_settings(NOTIFICATIONS=configured):
            with CaptureQueriesContext(connection) as queries:
                explanation = site.ask(NotificationManager.explain)
            seen = check_consistency(explanation)
            compare(site, explanation)
        writes = [query["sql"] for query in queries if query["sql"].lstrip("(").split()[0] not in ("SELECT", "WITH")]
        assert writes == []
        transaction.set_rollback(True)
    return seen


def compare(site, explanation):
    explained = {channel.channel: get_outcome(channel) for channel in explanation.channels}
    missing = {channel for channel, (_, reason, _) in explained.items() if reason == "channel_not_configured"}
    try:
        result = site.ask(NotificationManager.send)
    except NotPermitted:
        assert {explained[channel] for channel in explained.keys() - missing} <= {("dropped", "not_permitted", None)}
        return
    assert explained == read_outcomes(result, explained.keys() - missing)
    compare_rules(site, explanation, result)
    compare_afterwards(site, explanation, result)


def compare_rules(site, explanation, result):
    """Check that a drop has the rule that the log has, and that the rule of a hold names what it waits for."""
    logged = NotificationLog.objects.filter(notification=result.notification_id, delivery=None)
    for row in logged.filter(kind="note"):
        steps = {step.gate: step.rule for step in explanation.channel(row.channel).steps}
        assert steps["address"].startswith(row.error_message)
    for row in logged.filter(kind="drop").exclude(recipient_key="*"):
        channel = explanation.channel(row.channel)
        assert log_text(channel.answer.rule) == row.error_message
        assert (row.error_message or channel.steps[-1].rule) == channel.steps[-1].rule
    for channel in explanation.channels:
        if isinstance(channel.answer, Hold):
            [rule] = {step.rule for step in channel.steps if step.answer == channel.answer}
            assert rule == describe_rule(channel.answer.rule)
            expected = get_expected_rules(site.situation, channel)
            assert any(all(part in rule for part in parts) for parts in expected), rule


def get_expected_rules(situation, channel):
    """Return alternatives; the rule must contain all parts of one of them. They follow from the situation alone.

    A delivery that waits for a batch or digest may wait longer because of hours, and then the hours decide.
    """
    is_known_user = situation["recipient"] != "unknown" and not situation["recipient"].endswith("email")
    own = (is_known_user and situation["settings"]) or {}
    zone = own.get("zone") or "UTC"
    if channel.answer.reason == "scheduled":
        return [["send_at"]]
    if channel.answer.reason == "batch":
        default = 3600 if situation["event"]["priority"] == NotificationPriority.LOW else 900
        window = situation["event"]["batch_window"]
        batch = ["event: ", f"batch window of {default if window == 'default' else window} seconds"]
        return [batch, *get_expected_hours(situation, own, channel.channel, zone)]
    if channel.answer.reason == "digest":
        day = f" on {DAYS[own['digest_day']]}" if own["digest"] == "weekly" else ""
        digest = [f"{own['digest']} digest of this user", f"{own['digest_hour']:02}:00{day} {zone}"]
        return [digest, *get_expected_hours(situation, own, channel.channel, zone)]
    quiet, windows = get_expected_hours(situation, own, channel.channel, zone)
    return [quiet if channel.answer.reason == "quiet_hours" else windows]


def get_expected_hours(situation, own, channel, zone):
    hours = own.get("hours") or (situation["site_hours"] and [*map(time.fromisoformat, situation["site_hours"])])
    whose = "user" if own.get("hours") else "site"
    quiet = f"{hours[0]:%H:%M}–{hours[1]:%H:%M} {zone}" if hours else "none to be named"
    windows = "08:00–12:00" if "email" in own.get("windows", ()) else "mon fri 14:00–18:00"
    return (
        [f"quiet hours of this {whose}", quiet],
        [f"delivery windows of this user for {channel}", f"{windows} {zone}"],
    )


def compare_afterwards(site, explanation, result):
    """Check that ``why()`` returns the state and reason of each row, and the time that ``explain()`` returned."""
    notification = Notification.objects.get(pk=result.notification_id)
    after = NotificationManager.why(notification, site.recipient).channels
    for channel in after:
        assert channel.summary.endswith(".")
        before = explanation.channel(channel.channel)
        assert (channel.state, channel.reason) == get_outcome(before)[:2]
        assert channel.arrives_at == before.arrives_at
    assert after or not explanation.reaches
