"""The counts of a run of the bridge."""

from dataclasses import dataclass

LABELS = {
    "frames": "frames read",
    "malformed": "malformed",
    "raised": "faults raised",
    "cleared": "cleared",
    "sent": "notifications queued",
}
OPTIONAL_LABELS = {
    "spooled": "spooled until the database is back",
    "ignored": "frames ignored",
    "repeated": "repeated",
    "flapped": "came back before they were cleared",
    "broken": "messages of several frames incomplete",
    "begun": "alerts begun",
    "ended": "alerts ended",
    "implausible": "values implausible",
    "undecoded": "messages that do not fit their definition",
    "dropped": "reports beyond the limit of open faults",
    "suppressed": "reports not announced because of a flood",
    "already_sent": "notifications sent by an earlier replay",
    "outages": "outages of the bus",
    "overflowed": "changes dropped because too many waited to be sent",
    "unsent": "changes not sent before the bridge stopped",
    "failed": "rules or sends failed (the log contains the errors)",
}


@dataclass
class Tally:
    """``malformed`` counts lines and frames that cannot be read, ``ignored`` valid frames without diagnostics."""

    frames: int = 0
    malformed: int = 0
    ignored: int = 0
    raised: int = 0
    repeated: int = 0
    flapped: int = 0
    broken: int = 0
    cleared: int = 0
    begun: int = 0
    ended: int = 0
    implausible: int = 0
    undecoded: int = 0
    dropped: int = 0
    suppressed: int = 0
    already_sent: int = 0
    sent: int = 0
    spooled: int = 0
    failed: int = 0
    outages: int = 0
    overflowed: int = 0
    unsent: int = 0

    def __str__(self) -> str:
        parts = [f"{getattr(self, name)} {words}" for name, words in LABELS.items()]
        parts += [f"{getattr(self, name)} {words}" for name, words in OPTIONAL_LABELS.items() if getattr(self, name)]
        return ", ".join(parts) + "."
