"""Outcomes that a worker could not write to the database before it had to end, in files on this machine.

The next start of a worker on this machine reads them before it looks for lost workers, so what a provider has accepted
is not sent again. A file belongs to one database; a process that reads it holds a lock on it.
"""

import hashlib
import json
import logging
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.core.files import locks
from django.db import connections

from notifications import conf
from notifications.addresses import masked_text
from notifications.dispatch.record import Attempted, Outcomes
from notifications.models import Delivery
from notifications.models.outbox import Settlement
from notifications.outcomes import Blame, Receipt, Suppress, Verdict

logger = logging.getLogger("notifications.dispatch")

SUFFIX = ".outcomes"


def folder() -> Path:
    """``STATE_DIR``, or a private folder of this user in the folder for temporary files."""
    configured = str(conf.current().state_dir)
    return Path(configured or Path(tempfile.gettempdir()) / f"django-klaxon-{_user()}")


def save(unwritten: Sequence[Outcomes], using: str) -> Path:
    """Write outcomes to a new file; when this returns they are on the disk.

    :raises OSError: if they cannot be kept.
    """
    folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    _refuse_foreign(folder())
    path = folder() / f"{_fingerprint(using)}-{uuid4().hex}{SUFFIX}"
    hidden = path.with_suffix(".part")
    with os.fdopen(os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump([_as_json(outcomes) for outcomes in unwritten], file, default=str)
        file.flush()
        os.fsync(file.fileno())
    hidden.rename(path)
    return path


@contextmanager
def opened(path: Path, using: str) -> Iterator[list[Outcomes] | None]:
    """The outcomes in a file, which is removed if the block ends well; None if another process has it or had it."""
    try:
        file = path.open("r+")
    except FileNotFoundError:
        yield None
        return
    with file:
        if not locks.lock(file, locks.LOCK_EX | locks.LOCK_NB) or not path.exists():
            yield None
            return
        try:
            found = _read(file.read(), path, using)
        except (ValueError, LookupError, TypeError):
            logger.exception("The outcomes in %s cannot be read; the file is set aside.", path)
            path.rename(path.with_suffix(".damaged"))
            yield None
            return
        yield found
        path.unlink(missing_ok=True)


def paths(using: str) -> list[Path]:
    """The files with outcomes for this database; usually there is not even the folder."""
    if not folder().exists():
        return []
    try:
        _refuse_foreign(folder())
        return sorted(folder().glob(f"{_fingerprint(using)}-*{SUFFIX}"))
    except OSError as error:
        logger.error("The outcomes of earlier workers cannot be read: %s", error)  # noqa: TRY400 - the words say it
        return []


def _refuse_foreign(path: Path) -> None:
    """
    :raises OSError: if another user may write into the folder, and so tell us what was accepted.
    """
    found = path.stat()
    if hasattr(os, "getuid") and (found.st_uid != os.getuid() or found.st_mode & stat.S_IWOTH):
        raise OSError(f"Other users may write to {path}. Set NOTIFICATIONS['STATE_DIR'] to a folder of your own.")


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")


def _fingerprint(using: str) -> str:
    """Which database the outcomes are for."""
    settings = connections[using].settings_dict
    place = [str(settings.get(key, "")) for key in ("ENGINE", "HOST", "PORT", "NAME")]
    return hashlib.sha256(json.dumps(place).encode()).hexdigest()[:16]


def _as_json(outcomes: Outcomes) -> dict[str, Any]:
    return {"at": outcomes.at.isoformat(), "pairs": [_pair_as_json(*pair) for pair in outcomes.pairs]}


def _pair_as_json(attempted: Attempted | None, news: Settlement) -> dict[str, Any]:
    due_at = news.due_at.isoformat() if news.due_at else None
    return {"news": {**asdict(news), "due_at": due_at}, "attempted": attempted and _attempted_as_json(attempted)}


def _attempted_as_json(attempted: Attempted) -> dict[str, Any]:
    receipt, delivery = attempted.receipt, attempted.delivery
    return {
        "correlation_id": str(delivery.notification.correlation_id),
        "attempts": delivery.attempts,
        "duration": attempted.duration,
        "carrier": attempted.carrier,
        "receipt": {
            "verdict": receipt.verdict.value,
            "provider": receipt.provider,
            "provider_message_id": receipt.provider_message_id,
            "error": masked_text(receipt.error),
            "suppress": receipt.suppress.value,
            "blames": receipt.blames.value,
            "code": receipt.code,
        },
    }


def _read(text: str, path: Path, using: str) -> list[Outcomes]:
    """The outcomes in a file, without those of deliveries that are no longer there."""
    written = json.loads(text)
    ids = {pair["news"]["id"] for entry in written for pair in entry["pairs"]}
    outbox = Delivery.objects.using(using)
    rows = {row.pk: row for row in outbox.with_notifications(outbox.filter(pk__in=ids))}
    logger.warning("An earlier worker has left the outcomes of %d deliveries in %s.", len(ids), path)
    return [Outcomes(list(_pairs(entry["pairs"], rows)), datetime.fromisoformat(entry["at"])) for entry in written]


def _pairs(
    written: Sequence[Mapping[str, Any]], rows: Mapping[int, Delivery]
) -> Iterator[tuple[Attempted | None, Settlement]]:
    for pair in written:
        due_at = pair["news"]["due_at"]
        news = Settlement(**{**pair["news"], "due_at": datetime.fromisoformat(due_at) if due_at else None})
        row, known = rows.get(news.id), pair["attempted"]
        if row is not None and (known is None or known["correlation_id"] == str(row.notification.correlation_id)):
            yield known and _attempted(known, row), news


def _attempted(known: Mapping[str, Any], row: Delivery) -> Attempted:
    words = known["receipt"]
    receipt = Receipt(
        None,
        Verdict(words["verdict"]),
        words["provider"],
        words["provider_message_id"],
        words["error"],
        suppress=Suppress(words["suppress"]),
        blames=Blame(words["blames"]),
        code=words["code"],
    )
    row.attempts = known["attempts"]
    return Attempted(row, receipt, known["duration"], known["carrier"])
