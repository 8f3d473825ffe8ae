"""How full the storage is: the database against its limit, and the disk of a SQLite file."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from notifications import conf
from notifications.monitoring.findings import Finding, judge
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
        texts = {
            ("database", True): _("The database takes %(used)s MB."),
            ("database", False): _("The database is %(percent)d%% full: %(used)s of %(limit)s MB."),
            ("disk", False): _("The disk is %(percent)d%% full: %(used)s of %(limit)s MB."),
        }
        used, limit = (f"{size / 1e6:,.0f}" for size in (self.used, self.limit))
        text = texts[self.name, not self.limit] % {"percent": round(self.share * 100), "used": used, "limit": limit}
        return text + " " + _("That is critical.") if self.level == CRITICAL else text


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
    yield judge(
        "storage",
        all(usage.level == GOOD for usage in usages),
        " ".join(map(str, usages)),
        _(
            "Run `manage.py purge_notifications`, shorten the ages in NOTIFICATIONS['RETENTION'], or add space and "
            "raise %(setting)s."
        )
        % {"setting": LIMIT_SETTING},
    )
