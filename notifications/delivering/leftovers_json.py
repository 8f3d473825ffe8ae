"""Converts outcomes to the JSON of a leftovers file, and back.

Each outcome also contains the correlation id of its notification and the owner of its delivery, because after a
restore, or in another database of the same name, the same id may belong to another delivery. Leftovers files outlive an
upgrade, so the keys of the JSON must not change. The names of the fields of ``StateChange`` are keys too.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from notifications.core.addresses import mask_addresses
from notifications.delivering.attempt_outcomes import Outcomes, UnsentChange
from notifications.delivering.providers.choice import AttemptResult
from notifications.models import Delivery
from notifications.outcomes import Blame, Reason, Receipt, Suppress, Verdict
from notifications.storage.outbox import StateChange

NO_FENCE = -1
"""No delivery has this fence, so a state change with it changes nothing."""


@dataclass(frozen=True)
class LoadedOutcomes:
    """The outcomes of deliveries that the database has, and the ids of the deliveries that it does not have."""

    outcomes: list[Outcomes]
    missing: list[int]

    @property
    def is_foreign(self) -> bool:
        """Whether the database has none of the deliveries: it is another one, or is still being restored."""
        return bool(self.missing) and not any(outcomes.pairs for outcomes in self.outcomes)


def dump_outcomes(unwritten: Sequence[Outcomes]) -> str:
    """Return outcomes as JSON, with masked addresses. Outcomes that do not identify their delivery are left out."""
    return json.dumps([_dump(outcomes) for outcomes in unwritten], default=str)


def load_outcomes(text: str, using: str) -> LoadedOutcomes:
    """Return the outcomes in JSON, with the deliveries that they belong to.

    :raises ValueError: if the text is not JSON of outcomes. Depending on the fault, LookupError or TypeError is raised.
    """
    entries = json.loads(text)
    pairs = [pair for entry in entries for pair in entry["pairs"]]
    outbox = Delivery.objects.using(using)
    found = outbox.with_notifications(outbox.filter(pk__in={pair["news"]["id"] for pair in pairs}))
    rows = {(row.pk, str(row.notification.correlation_id)): row for row in found}
    outcomes = [
        Outcomes(list(_load_pairs(entry["pairs"], rows)), datetime.fromisoformat(entry["at"])) for entry in entries
    ]
    return LoadedOutcomes(outcomes, sorted({pair["news"]["id"] for pair in pairs if _get_key(pair) not in rows}))


def _dump(outcomes: Outcomes) -> dict[str, Any]:
    pairs = [_dump_pair(*pair) for pair in outcomes.pairs if _get_identity(*pair)]
    return {"at": outcomes.at.isoformat(), "pairs": pairs}


def _get_identity(attempted: AttemptResult | None, change: StateChange) -> dict[str, str]:
    """Return the values that identify a delivery and its claim, or an empty dict if they are not known."""
    if attempted:
        delivery = attempted.delivery
        return {"correlation_id": str(delivery.notification.correlation_id), "owner": delivery.owner}
    if isinstance(change, UnsentChange):
        return {"correlation_id": change.correlation_id, "owner": change.owner}
    return {}


def _dump_pair(attempted: AttemptResult | None, change: StateChange) -> dict[str, Any]:
    values = {field.name: getattr(change, field.name) for field in fields(StateChange)}
    values["due_at"] = change.due_at.isoformat() if change.due_at else None
    return {
        **_get_identity(attempted, change),
        "news": values,
        "attempted": attempted and _dump_attempt(attempted),
    }


def _dump_attempt(attempted: AttemptResult) -> dict[str, Any]:
    receipt, delivery = attempted.receipt, attempted.delivery
    return {
        "attempts": delivery.attempts,
        "duration": attempted.duration,
        "carrier": attempted.provider_name,
        "receipt": {
            "verdict": receipt.verdict.value,
            "provider": receipt.provider,
            "provider_message_id": receipt.provider_message_id,
            "error": mask_addresses(receipt.error),
            "suppress": receipt.suppress.value,
            "blames": receipt.blames.value,
            "code": receipt.code,
        },
    }


def _get_key(pair: Mapping[str, Any]) -> tuple[int, str]:
    return pair["news"]["id"], pair["correlation_id"]


def _load_pairs(
    pairs: Sequence[Mapping[str, Any]], rows: Mapping[tuple[int, str], Delivery]
) -> Iterator[tuple[AttemptResult | None, StateChange]]:
    for pair in pairs:
        change = _load_change(pair["news"])
        row, attempt = rows.get(_get_key(pair)), pair["attempted"]
        if row is not None:
            # After a restore, another worker may have claimed the delivery with the same fence. Then the attempt is
            # logged, but the state stays.
            is_same_owner = row.owner == pair["owner"]
            yield attempt and _load_attempt(attempt, row), change if is_same_owner else replace(change, fence=NO_FENCE)


def _load_change(news: Mapping[str, Any]) -> StateChange:
    due_at, tried = news["due_at"], {}
    if "tried_providers" not in news and news["reason"] == Reason.FAILED_OVER:
        # Before the field existed, ``provider`` contained the names.
        names = news["provider"].split(", ")
        tried = {"provider": names[-1], "tried_providers": json.dumps(names)}
    return StateChange(**{**news, **tried, "due_at": datetime.fromisoformat(due_at) if due_at else None})


def _load_attempt(attempt: Mapping[str, Any], row: Delivery) -> AttemptResult:
    values = attempt["receipt"]
    receipt = Receipt(
        None,
        Verdict(values["verdict"]),
        values["provider"],
        values["provider_message_id"],
        values["error"],
        suppress=Suppress(values["suppress"]),
        blames=Blame(values["blames"]),
        code=values["code"],
    )
    row.attempts = attempt["attempts"]
    return AttemptResult(row, receipt, attempt["duration"], attempt["carrier"])
