"""A finding: whether one part of the system works."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Finding:
    """Whether one part of the system works.

    :param name: the part, such as ``"queue"``, in 100 characters at most. It never changes, so programs can compare it.
        If several findings have the same name, it is healthy only if all of them are.
    :param is_healthy: whether the part works. An idle system is healthy.
    :param detail: one sentence with the facts, without addresses and secrets.
    :param remedy: what an operator can do, as one or two sentences; empty for a healthy part.
    :param since: since when the part has not worked, if that is known. Then the alarm need not wait as long.
    :param is_failure: whether the probe has failed, so that nothing is known about the parts that it examines.
    """

    name: str
    is_healthy: bool
    detail: str
    remedy: str = ""
    since: datetime | None = None
    is_failure: bool = False


def judge(name: str, is_healthy: bool, detail: str, remedy: str, since: datetime | None = None) -> Finding:
    """Return a finding, with the remedy only if the part does not work."""
    return Finding(name, is_healthy, detail, "" if is_healthy else remedy, since)
