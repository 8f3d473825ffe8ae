"""When to retry a delivery: a pure function of the number of attempts so far."""

from notifications import conf
from notifications.delays import parse_delays
from notifications.events import NotificationEvent

# A provider that asks for a longer wait has made a mistake or no longer exists.
MAX_RETRY_AFTER = 24 * 3600.0


def delays_for(event: NotificationEvent, channel: str) -> tuple[float, ...]:
    """Return the seconds before each retry: those of the event, or else of the channel, or else of the site."""
    if event.retry_delays is not None:
        return parse_delays(event.retry_delays)
    channel_conf = conf.current().channel(channel)
    if channel_conf and channel_conf.retry_delays is not None:
        return channel_conf.retry_delays
    return conf.current().retry_delays


def next_retry_delay(
    attempts: int, delays: tuple[float, ...], jitter: float, random_value: float, retry_after: float | None = None
) -> float | None:
    """Return the seconds to wait after the given number of failed attempts, or None if the schedule is used up.

    :param jitter: how far a delay may deviate, as a fraction. ``random_value`` (0 to 1) is the position in that range.
        With it, a thousand deliveries that were refused together are not retried together.
    :param retry_after: the seconds that the provider asked for. The wait is never shorter, but at most a day of it
        counts.
    """
    if attempts > len(delays):
        return None
    delay = delays[attempts - 1] * (1 + jitter * (2 * random_value - 1))
    return max(delay, min(retry_after or 0, MAX_RETRY_AFTER))
