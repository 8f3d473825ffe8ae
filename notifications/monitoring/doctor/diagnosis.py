"""What an examination of the doctor has found."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from notifications.email_setup.findings import Status
from notifications.monitoring.findings import Finding

__all__ = ["Diagnosis", "Report", "Status"]


@dataclass(frozen=True)
class Diagnosis:
    """One result.

    :param status: OK: nothing to do. WARNING: it works, but something could be better or will fail later. ERROR: it
        does not work. UNCHECKED: it could not be examined.
    :param name: what was examined, such as ``"index klaxon_delivery_ready"``.
    :param detail: what was found, without addresses and secrets.
    :param remedy: what to do, with the name of the setting or command; empty if there is nothing to do.
    """

    status: Status
    name: str
    detail: str
    remedy: str = ""

    @classmethod
    def from_finding(cls, finding: Finding) -> "Diagnosis":
        """Return the result of a probe."""
        status = Status.OK if finding.is_healthy else Status.ERROR
        return cls(status, finding.name, finding.detail, finding.remedy)


@dataclass(frozen=True)
class Report:
    """All results of one run.

    :param results: each result with the name of its examination and the title of its area.
    """

    results: Sequence[tuple[str, str, Diagnosis]]

    @property
    def tally(self) -> Counter[Status]:
        """The number of results of each status."""
        return Counter(diagnosis.status for _name, _area, diagnosis in self.results)

    def to_json(self) -> dict[str, Any]:
        """Return the report as values that JSON has."""
        tally = self.tally
        return {
            "errors": tally[Status.ERROR],
            "warnings": tally[Status.WARNING],
            "not_checked": tally[Status.UNCHECKED],
            "results": [
                {
                    "area": area,
                    "examination": name,
                    "status": diagnosis.status.value,
                    "name": diagnosis.name,
                    "detail": diagnosis.detail,
                    "remedy": diagnosis.remedy,
                }
                for name, area, diagnosis in self.results
            ],
        }
