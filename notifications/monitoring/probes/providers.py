"""Whether channels are paused, and whether providers are not used."""

from collections.abc import Iterator
from datetime import datetime

from django.utils.translation import gettext as _

from notifications import conf
from notifications.delivering.providers.choice import list_providers
from notifications.exceptions import ChannelNotConfigured
from notifications.models import Circuit
from notifications.models.pause import EVERYTHING
from notifications.monitoring.findings import Finding, judge
from notifications.monitoring.probes.workers import describe_time
from notifications.monitoring.readings import read_open_circuits, read_pauses


def probe_pauses(using: str, now: datetime) -> Iterator[Finding]:
    """Return the finding ``pauses``. A site that is switched off has paused everything."""
    if not conf.current().enabled:
        remedy = _("Set NOTIFICATIONS['ENABLED'] to True and restart the site and its workers.")
        yield Finding("pauses", False, conf.OFF_MESSAGE, remedy)
        return
    rows = read_pauses(using)
    if not rows:
        yield Finding("pauses", True, _("Nothing is paused."))
        return
    names = [_("everything") if row.channel == EVERYTHING else row.channel for row in rows]
    yield Finding(
        "pauses",
        False,
        _("Paused: %(names)s.") % {"names": ", ".join(names)},
        _(
            "Resume them in the admin or with the command resume_notifications as soon as the reason for the pause is "
            "gone."
        ),
    )


def probe_providers(using: str, now: datetime) -> Iterator[Finding]:
    """Return the finding ``providers``.

    A provider is not used while its circuit is open. When that time has passed, the next delivery tries it, so an idle
    system is healthy again without one.
    """
    rows = read_open_circuits(using)
    not_working = {row.key for row in rows}
    blocked = [row for row in rows if row.open_until and row.open_until > now]
    texts = [_describe_circuit(row, not_working, now) for row in blocked]
    if half_open := [row.key for row in rows if row not in blocked]:
        texts.append(_("The next delivery tries: %(names)s.") % {"names": ", ".join(half_open)})
    yield judge(
        "providers",
        not blocked,
        " ".join(texts) or _("All are used."),
        _(
            "Read the last error in the list of circuits, and mend its cause. Workers try the provider again by "
            "themselves; delete its circuit to try at once. A channel with a second provider delivers meanwhile."
        ),
    )


def _describe_circuit(row: Circuit, not_working: set[str], now: datetime) -> str:
    seconds = describe_time(row.open_until - now) if row.open_until else ""
    if _is_alone(row.key, not_working):
        text = _("%(name)s is not used for %(time)s, and its channel has no other provider that works.")
    else:
        text = _("%(name)s is not used for %(time)s; another provider of its channel is.")
    return text % {"name": row.key, "time": seconds}


def _is_alone(key: str, not_working: set[str]) -> bool:
    """Return whether no provider of the same channel works."""
    try:
        return all(provider.key in not_working for provider in list_providers(key.partition("/")[0]))
    except ChannelNotConfigured:
        return True
