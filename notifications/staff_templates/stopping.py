"""Protects other deliveries from published versions that hang or are slow.

A version is not used again after it was stopped with several messages, or if it takes too much CPU time on average. One
message is not enough, because its values may be to blame.

Until then, such versions get a small share of the time of each process. When they have used it, only versions that are
known to be quick are rendered; the messages of all others wait.
"""

import logging
import random
import threading
import time
from collections import defaultdict

from django.db.models import F

from notifications.exceptions import RenderingUnavailable
from notifications.models import StaffTemplateVersion
from notifications.staff_templates.cage.budget import CPU_SECONDS
from notifications.staff_templates.cage.faults import TemplateFault
from notifications.staff_templates.published import PublishedTemplate, get_published

logger = logging.getLogger("notifications.staff_templates")

MAX_STOPS = 3
"""A version that was stopped with so many messages is not used again, by any process."""
USUAL_SECONDS = 0.05
"""The CPU time that a message may take on average."""
MAX_EXCESS_SECONDS = 3.0
"""The CPU time that the messages of a version may take beyond that in one process."""
SHARE = 0.05
"""The part of its time that a process spends on versions that are not known to be quick, once one was not."""
START_SECONDS = 0.3
"""What it costs to replace a process of the cage."""
MAX_WAIT = 300.0
MAX_JITTER = 30.0
"""Messages that wait are tried again within so many seconds after the process has time for them, not all at once."""

Key = tuple[str, int]


class Caution:
    """What a process knows about the time that published versions take, by database and version."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self._lock = threading.Lock()
        self._quick: set[Key] = set()
        self._excess: defaultdict[Key, float] = defaultdict(float)
        self._until = 0.0

    def check(self, template: PublishedTemplate, using: str) -> None:
        """
        :raises RenderingUnavailable: if the messages of a version must wait.
        """
        wait = self._until - time.monotonic()
        if wait > 0 and (using, template.version_id) not in self._quick:
            reason = "A staff template has taken too long. Only those that are known to be quick are rendered now."
            raise RenderingUnavailable(reason, wait + random.uniform(0, MAX_JITTER))  # noqa: S311 - no secret

    def add(self, key: Key, seconds: float, is_good: bool) -> float:
        """Note the CPU time of a message, and return how much the version has used beyond the usual.

        :param is_good: whether the message could be rendered.
        """
        if seconds <= USUAL_SECONDS and key in self._quick and key not in self._excess:
            return 0.0
        with self._lock:
            if seconds > USUAL_SECONDS:
                self._quick.discard(key)
                now = time.monotonic()
                self._until = min(max(self._until, now) + seconds / SHARE, now + MAX_WAIT)
            elif is_good:
                self._quick.add(key)
            self._excess[key] = excess = max(0.0, self._excess[key] + seconds - USUAL_SECONDS)
            if not excess or excess > MAX_EXCESS_SECONDS:
                del self._excess[key]
        return excess


CAUTION = Caution()


def record_stop(template: PublishedTemplate, error: TemplateFault, using: str) -> None:
    """Note that the cage had to stop a published version."""
    CAUTION.add((using, template.version_id), CPU_SECONDS + START_SECONDS, is_good=False)
    version = StaffTemplateVersion.objects.using(using).filter(pk=template.version_id)
    version.update(stops=F("stops") + 1)
    logger.error("The staff template %s was stopped: %s", template.pk, error)
    if version.filter(stops__gte=MAX_STOPS).exists():
        _withdraw(template, f"{error.message} This happened with {MAX_STOPS} messages.", using)


def record_seconds(template: PublishedTemplate, seconds: float, using: str, is_good: bool = True) -> None:
    """Note the CPU time that a message took.

    :param is_good: whether it could be rendered.
    """
    if CAUTION.add((using, template.version_id), seconds, is_good) > MAX_EXCESS_SECONDS:
        reason = f"Its messages take more than {USUAL_SECONDS} s of CPU time on average, the last one {seconds:.2f} s."
        _withdraw(template, reason, using)


def _withdraw(template: PublishedTemplate, fault: str, using: str) -> None:
    """Let no worker use a published version again."""
    if StaffTemplateVersion.objects.using(using).filter(pk=template.version_id, fault="").update(fault=fault):
        logger.error("The staff template %s is not used until another version is published: %s", template.pk, fault)
    get_published(using).forget()
