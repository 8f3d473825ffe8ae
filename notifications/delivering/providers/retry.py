"""When to try again: a pure function of the number of attempts so far."""

from notifications import conf
from notifications.delays import delays
from notifications.events import NotificationEvent

# A provider that asks for more has made a mistake, or is gone.
LONGEST_WISH = 24 * 3600.0


def delays_for(event: NotificationEvent, channel: str) -> tuple[float, ...]:
    """Seconds before each further try: the event's own, else the channel's, else the site's."""
    if event.retry_delays is not None:
        return delays(event.retry_delays)
    channel_conf = conf.current().channel(channel)
    if channel_conf and channel_conf.retry_delays is not None:
        return channel_conf.retry_delays
    return conf.current().retry_delays


def next_try(
    attempts: int, delays: tuple[float, ...], jitter: float, chance: float, retry_after: float | None = None
) -> float | None:
    """Seconds to wait after the given number of failed attempts, or None when the schedule is used up.

    :param jitter: how far a delay may stray, as a fraction; ``chance`` (0 to 1) says where in that range it falls, so
        that a thousand deliveries refused together do not come back together.
    :param retry_after: what the provider asked for; it is never undercut, but a day is the most.
    """
    if attempts > len(delays):
        return None
    delay = delays[attempts - 1] * (1 + jitter * (2 * chance - 1))
    return max(delay, min(retry_after or 0, LONGEST_WISH))
