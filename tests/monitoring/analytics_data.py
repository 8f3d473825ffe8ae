"""Figures as a busy site has them, the same each time, for tests and pictures."""

import random
from datetime import timedelta
from math import pi, sin

from notifications.models import (
    Availability,
    EscalationEntry,
    EscalationRun,
    Figure,
    Notification,
    QueueSample,
    TrackingFigure,
)
from notifications.models.figure import BAND_NAMES
from notifications.storage.figures import WITHIN

PROVIDERS = (
    ("email", "mailgun", 0.985, (0.55, 0.85, 0.97, 0.99, 1, 1)),
    ("email", "smtp", 0.93, (0.2, 0.5, 0.8, 0.9, 0.97, 1)),
    ("sms", "twilio", 0.97, (0.7, 0.9, 0.99, 1, 1, 1)),
    ("push", "", 0.9, (0.9, 0.97, 1, 1, 1, 1)),
)
FAILURES = ("temporary", "unreachable", "permanent")


def fill_figures(cluster, now, days=7, minutes=1):
    """Fill all tables that the charts read, for some days up to now, with a sample of the queue every few minutes."""
    dice = random.Random(7)
    hour = now.replace(minute=0, second=0, microsecond=0)
    fill_hours(cluster, hour, days, dice)
    fill_samples(now, dice, minutes)
    rows = []
    for number in range(days * 24):
        for place, band in enumerate(BAND_NAMES):
            bad = dice.choice((0, 0, 0, 0, 0, 0, 0, 0, 0, 1)) if place else 0
            rows.append(Availability(hour=hour - timedelta(hours=number), band=band, minutes=60, good_minutes=60 - bad))
    Availability.objects.bulk_create(rows)
    fill_escalations(cluster, now, days, dice)
    fill_campaigns(cluster, now, dice)


def fill_hours(cluster, hour, days, dice):
    rows = []
    for number in range(days * 24):
        at = hour - timedelta(hours=number)
        busy = (1 + sin(2 * pi * (at.hour - 7) / 24)) * (0.3 if at.weekday() > 4 else 1)
        for channel, provider, share, within in PROVIDERS:
            total = int(400 * busy * dice.random() / (1 + PROVIDERS.index((channel, provider, share, within))))
            key = {"hour": at, "cluster": cluster, "channel": channel, "provider": provider, "band": "medium"}
            sent = int(total * share)
            sums = {name: int(sent * part) for name, part in zip(WITHIN, within, strict=True)}
            seconds = {"call_seconds": 0.3 * sent, "latency_seconds": 4.0 * sent}
            rows.append(Figure(kind="attempt", outcome="sent", count=sent, **seconds, **sums, **key))
            failed = total - sent
            if failed:
                rows.append(Figure(kind="attempt", outcome=dice.choice(FAILURES), count=failed, **key))
        key = {"hour": at, "cluster": cluster, "channel": "email", "band": "low"}
        for reason in ("preference", "duplicate", "muted"):
            rows.append(Figure(kind="drop", outcome=reason, count=dice.randrange(1, 30), **key))
        if at.hour == 8:
            made = dice.randrange(20, 60)
            rows.append(Figure(kind="digest", outcome="daily", count=made, **key))
            rows.append(Figure(kind="merged", outcome="daily", count=made * dice.randrange(2, 7), **key))
    Figure.objects.bulk_create(rows, batch_size=500)


def fill_samples(now, dice, minutes):
    start = now.replace(second=0, microsecond=0)
    rows = []
    for number in range(0, 24 * 60, minutes):
        if 300 < number < 360:
            # The worker was stopped for an hour.
            continue
        at = start - timedelta(minutes=number)
        wave = 1 + sin(2 * pi * (at.hour + at.minute / 60 - 7) / 24)
        ready = (dice.random() * 4, wave * 40 * dice.random(), wave * 150 * dice.random(), wave * 300)
        depths = {f"ready_{band}": int(depth) for band, depth in zip(BAND_NAMES, ready, strict=True)}
        rows.append(QueueSample(minute=at, measured_at=at, dead=number // 200, **depths))
    QueueSample.objects.bulk_create(rows, batch_size=500)


def fill_escalations(cluster, now, days, dice):
    for number in range(days * 4):
        add_run(cluster, now - timedelta(hours=6 * number + 1), dice.choice((None, 40, 180, 400, 2400)))


def add_run(cluster, started_at, seconds):
    """Add an escalation that was acknowledged after so many seconds, or not at all."""
    notification = Notification.objects.create(
        cluster=cluster, event="store_on_fire", priority=1, created_at=started_at
    )
    state = EscalationRun.State.EXHAUSTED if seconds is None else EscalationRun.State.ACKNOWLEDGED
    run = EscalationRun.objects.create(
        notification=notification,
        event="store_on_fire",
        state=state,
        pages=[],
        repeat_every=timedelta(minutes=15),
        base_at=started_at,
        started_at=started_at,
    )
    if seconds is not None:
        acknowledge(run, started_at + timedelta(seconds=seconds))
    return run


def acknowledge(run, at):
    run.acknowledged_at = at
    run.save()
    EscalationEntry.objects.create(run=run, at=at, kind=EscalationEntry.Kind.ACKNOWLEDGED)


def fill_campaigns(cluster, now, dice):
    rows = []
    for name in ("spring 2030", "A newsletter with a very long name about summer", "autumn"):
        for number in range(3):
            key = {"day": (now - timedelta(days=number)).date(), "cluster": cluster, "event": "news", "campaign": name}
            sent = dice.randrange(500, 4000)
            counts = {"sent": sent, "opened": int(sent * dice.random() * 0.6), "clicked": int(sent * 0.08)}
            rows += [TrackingFigure(metric=metric, count=count, **key) for metric, count in counts.items()]
    TrackingFigure.objects.bulk_create(rows)
