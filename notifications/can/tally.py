"""What a run of the bridge did, in numbers."""

from dataclasses import dataclass

ALWAYS = {
    "frames": "frames read",
    "malformed": "malformed",
    "raised": "faults raised",
    "cleared": "cleared",
    "sent": "notifications queued",
}
IF_ANY = {
    "spooled": "spooled until the database is back",
    "ignored": "frames of no use",
    "repeated": "repeated",
    "dropped": "reports beyond the limit of open faults",
    "failed": "rules or sends that failed (the log says why)",
}


@dataclass
class Tally:
    """``malformed`` counts what cannot be read; ``ignored`` are readable frames that can tell of no fault."""

    frames: int = 0
    malformed: int = 0
    ignored: int = 0
    raised: int = 0
    repeated: int = 0
    cleared: int = 0
    dropped: int = 0
    sent: int = 0
    spooled: int = 0
    failed: int = 0

    def __str__(self) -> str:
        parts = [f"{getattr(self, name)} {words}" for name, words in ALWAYS.items()]
        parts += [f"{getattr(self, name)} {words}" for name, words in IF_ANY.items() if getattr(self, name)]
        return ", ".join(parts) + "."
