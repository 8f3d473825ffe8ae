"""One row of the table. It knows nothing of Django, so that the process that prints it need not either."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Figures:
    """Of one fault on one database. Everything in ``zero`` must be zero; ``told`` is only told."""

    fault: str
    database: str
    runs: str
    lost: int = 0
    duplicates: int = 0
    bound: int = 0
    zero: dict[str, int] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    evidence: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def held(self) -> bool:
        """Whether the promise was kept."""
        return not self.lost and self.duplicates <= self.bound and not any(self.zero.values())


def p95(values: Sequence[float]) -> float:
    """The value that 95 of 100 do not exceed."""
    return sorted(values)[max(0, -(-len(values) * 95 // 100) - 1)]
