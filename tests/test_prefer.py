"""The declaration of preferred channels."""

from datetime import timedelta

import pytest

from notifications.events import NotificationChannel, NotificationEvent, NotificationPriority, Prefer

TEN_MINUTES = timedelta(minutes=10)


def declare(prefer, channels=("app", "email", "sms"), priority=NotificationPriority.MEDIUM, **options):
    return NotificationEvent("water_leak", priority, channels, prefer=prefer, **options)


def test_a_name_alone_is_a_channel_without_a_wait():
    event = declare([Prefer(NotificationChannel.APP, wait=TEN_MINUTES), "EMAIL"])
    assert event.prefer == (Prefer("app", TEN_MINUTES), Prefer("email"))
    assert list(event.preferred) == ["app", "email"]


def test_an_event_prefers_nothing_by_default():
    assert NotificationEvent("water_leak", NotificationPriority.LOW, ["email"]).preferred == {}


def test_an_event_with_prefer_waits_for_no_digest():
    assert not declare(["app", "email"]).may_wait_for_digest(NotificationPriority.LOW)
    assert declare(()).may_wait_for_digest(NotificationPriority.LOW)


@pytest.mark.parametrize(
    ("prefer", "error"),
    [
        ("email", "must be a list of channels, not 'email'."),
        (Prefer("email"), "must be a list of channels"),
        (5, "must be a list of channels, not 5."),
        ([5, "email"], 'must hold names of channels or Prefer("app", wait=timedelta(minutes=10)), not 5.'),
        ([Prefer("app", wait=600), "email"], "has the wait 600. Use a timedelta, such as timedelta(minutes=10)."),
        ([Prefer("app", needs_presence="no"), "email"], "has the needs_presence 'no'. Use True, False or None."),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(prefer, error):
    with pytest.raises(TypeError, match="prefer of event 'water_leak' ") as refused:
        declare(prefer)
    assert error in str(refused.value)


@pytest.mark.parametrize(
    ("prefer", "options", "error"),
    [
        (["app"], {}, "has only 'app'. Add the channel to use next, or remove prefer."),
        (["app", "pager"], {}, "names 'pager', which the event does not support. Add it to supported_channels."),
        (["app", "app"], {}, "names 'app' twice. Name each channel once."),
        (["app", Prefer("email", wait=TEN_MINUTES)], {}, "has a wait for 'email', which is the last one."),
        ([Prefer("app", wait=timedelta()), "email"], {}, "has the wait 0:00:00 for 'app'. Use one of more than 0"),
        ([Prefer("app", wait=timedelta(days=31)), "email"], {}, "at most 30 days."),
        (["sms", "email"], {"fallback": {"sms": "email"}}, "names 'sms', which also has a fallback."),
        (["app", "email"], {"digest": True}, "has prefer, so it cannot wait for a digest or a batch."),
        (["app", "email"], {"batch_window": 600}, "has prefer, so it cannot wait for a digest or a batch."),
    ],
)
def test_a_list_that_cannot_work_is_refused_with_what_to_do(prefer, options, error):
    with pytest.raises(ValueError, match="vent 'water_leak' ") as refused:
        declare(prefer, **options)
    assert error in str(refused.value)
