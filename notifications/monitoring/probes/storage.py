"""How full the storage is: the database against its limit, and the disk of a SQLite file."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from notifications import conf
from notifications.monitoring.findings import Finding
from notifications.storage.engine import get_engine

GOOD, WARNING, CRITICAL = "good", "warning", "critical"
LIMIT_SETTING = "NOTIFICATIONS['STORAGE']['LIMIT_BYTES']"


@dataclass(frozen=True)
class Usage:
    """How much of something is used.

    :param name: ``"database"``, or ``"disk"`` for that of a SQLite file.
    :param used: bytes.
    :param limit: bytes; 0 if there is no limit.
    """

    name: str
    used: int
    limit: int

    @property
    def share(self) -> float:
        return self.used / self.limit if self.limit else 0.0

    @property
    def level(self) -> str:
        """``"good"``, ``"warning"`` or ``"critical"``, by the shares of ``STORAGE``."""
        site = conf.current()
        if self.share >= site.get_storage_option("CRITICAL"):
            return CRITICAL
        return WARNING if self.share >= site.get_storage_option("WARN") else GOOD

    def __str__(self) -> str:
        if not self.limit:
            return f"The {self.name} takes {self.used / 1e6:,.0f} MB."
        level = "" if self.level == GOOD else f", which is {self.level}"
        return f"The {self.name} is {self.share:.0%} full: {self.used / 1e6:,.0f} of {self.limit / 1e6:,.0f} MB{level}."


def measure_storage(using: str) -> list[Usage]:
    """Return how much of the limit the database uses, and how much of its disk is used if it is a SQLite file."""
    engine = get_engine(using)
    found = [Usage("database", engine.get_data_size(), conf.current().get_storage_option("LIMIT_BYTES"))]
    if (file := engine.get_data_file()) is not None:
        disk = shutil.disk_usage(file.parent)
        # What is reserved for root counts as used, because this process cannot use it.
        found.append(Usage("disk", disk.total - disk.free, disk.total))
    return found


def probe_storage(using: str, now: datetime) -> Iterator[Finding]:
    """Return the finding ``storage``."""
    usages = measure_storage(using)
    is_healthy = all(usage.level == GOOD for usage in usages)
    remedy = (
        ""
        if is_healthy
        else (
            "Run `manage.py purge_notifications`, shorten the ages in NOTIFICATIONS['RETENTION'], or add space and "
            f"raise {LIMIT_SETTING}."
        )
    )
    yield Finding("storage", is_healthy, " ".join(map(str, usages)), remedy)
