"""Outcomes that a worker could not write to the database before it had to end, in files on this machine.

The next start of a worker on this machine reads them before it looks for lost workers, so what a provider has accepted
is not sent again. A process that reads a file holds a lock on it.

The name of a file tells the database as far as the settings do. Each outcome also names its notification and the worker
that had the delivery, because after a restore, or in another database of the same name, the same id may be another row.

==============  ========================================================================================
``.outcomes``   to be written; stays as long as the database has none of its deliveries
``.unmatched``  written, but for deliveries that the database does not have
``.damaged``    cannot be read
``.part``       was never finished; the next writer removes it after a day
==============  ========================================================================================
"""

import hashlib
import json
import logging
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO
from uuid import uuid4

from django.core.files import locks
from django.db import connections

from notifications import conf
from notifications.core.addresses import mask_addresses_in
from notifications.delivering.providers.attempt_result import AttemptResult
from notifications.delivering.record import Outcomes, UnsentChange
from notifications.models import Delivery
from notifications.outcomes import Blame, Receipt, Suppress, Verdict
from notifications.storage.outbox import StateChange

logger = logging.getLogger("notifications.dispatch")

SUFFIX = ".outcomes"
ABANDONED_AFTER = 86_400
"""Seconds. A file that its writer has not finished for so long never will be."""
NO_FENCE = -1
"""No row has it, so a settlement under it changes nothing."""
SEARCH_PATH = re.compile(r"search[_-]path\s*=\s*((?:\\.|[^\s\\])+)")

_complaints: set[tuple[Path, str]] = set()


@dataclass(frozen=True)
class Found:
    """What a file holds: the outcomes of deliveries of this database, and the ids of those that it does not have."""

    outcomes: list[Outcomes]
    missing: list[int]

    @property
    def is_foreign(self) -> bool:
        """Whether the database has none of the deliveries: it is another one, or is still being restored."""
        return bool(self.missing) and not any(outcomes.pairs for outcomes in self.outcomes)


def get_folder() -> Path:
    """``STATE_DIR``, or a private folder of this user in the folder for temporary files."""
    configured = str(conf.current().state_dir)
    return Path(configured or Path(tempfile.gettempdir()) / f"django-klaxon-{_user()}")


def find_fault() -> str:
    """Why nothing can be kept here, or nothing."""
    # Unlike Path.exists(), this is False for what this process may not look at.
    there = next(path for path in [get_folder(), *get_folder().parents] if os.path.exists(path))  # noqa: PTH110
    if not there.is_dir():
        return f"{there} is no folder."
    if not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        return f"This process may not write to {there}."
    return _untrusted(there) if there == get_folder() else ""


def save(unwritten: Sequence[Outcomes], using: str) -> Path:
    """Write outcomes to a new file; when this returns they are on the disk.

    Claimed deliveries that were only to be given back are left out: they come back when their lease ends.

    :raises OSError: if they cannot be kept.
    """
    get_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    _refuse_untrusted(get_folder())
    _remove_abandoned(using)
    path = get_folder() / f"{_fingerprint(using)}-{uuid4().hex}{SUFFIX}"
    hidden = path.with_suffix(".part")
    try:
        with os.fdopen(os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump([_as_json(outcomes) for outcomes in unwritten], file, default=str)
            file.flush()
            os.fsync(file.fileno())
        hidden.rename(path)
    except OSError:
        hidden.unlink(missing_ok=True)
        raise
    return path


@contextmanager
def open_outcomes(path: Path, using: str) -> Iterator[list[Outcomes] | None]:
    """The outcomes in a file, which is put away if the block ends well.

    None if there is nothing to write: another process has the file or had it, it cannot be read, or it belongs to
    another database.
    """
    file = _open_locked(path)
    if file is None:
        yield None
        return
    with file:
        found = _read_or_set_aside(file, path, using)
        if found is None or found.is_foreign:
            yield None
            return
        yield found.outcomes
        _put_away(path, found)


def find_files(using: str) -> list[Path]:
    """The files with outcomes for this database; usually there is not even the folder."""
    try:
        if not get_folder().exists():
            return []
        _refuse_untrusted(get_folder())
        return sorted(get_folder().glob(f"{_fingerprint(using)}-*{SUFFIX}"))
    except OSError as error:
        _complain_once(get_folder(), f"The outcomes of earlier workers cannot be read: {error}")
        return []


def _open_locked(path: Path) -> TextIO | None:
    """The file, open and locked; None if another process has it or had it, or if it cannot be opened."""
    try:
        file = path.open("r+")
    except FileNotFoundError:
        return None
    except (PermissionError, IsADirectoryError) as error:
        _set_aside(path, error)
        return None
    except OSError as error:
        # Such as too many open files: the next look may succeed.
        _complain_once(path, f"The outcomes in {path} cannot be read: {error}")
        return None
    try:
        if locks.lock(file, locks.LOCK_EX | locks.LOCK_NB) and path.exists():
            return file
    except OSError as error:
        _complain_once(path, f"The outcomes in {path} cannot be locked: {error}")
    file.close()
    return None


def _read_or_set_aside(file: TextIO, path: Path, using: str) -> Found | None:
    try:
        found = _read(file.read(), using)
    except (ValueError, LookupError, TypeError) as error:
        _set_aside(path, error)
        return None
    except OSError as error:
        _complain_once(path, f"The outcomes in {path} cannot be read: {error}")
        return None
    if found.is_foreign:
        _complain_once(
            path,
            f"The database has none of the deliveries whose outcomes are in {path}; the file is left alone. It is read "
            "again at each look, in case the database is still being restored. If it belongs to another database, set "
            "another STATE_DIR for one of them; if the deliveries were deleted, delete it. "
            f"Deliveries: {_listed(found.missing)}",
        )
    elif found.outcomes:
        written = sum(len(outcomes.pairs) for outcomes in found.outcomes)
        logger.warning("An earlier worker has left the outcomes of %d deliveries in %s.", written, path)
    return found


def _put_away(path: Path, found: Found) -> None:
    try:
        if not found.missing:
            path.unlink(missing_ok=True)
            return
        kept = path.rename(path.with_suffix(".unmatched"))
    except OSError as error:
        _complain_once(path, f"The outcomes in {path} are written, but the file cannot be removed: {error}")
        return
    logger.error(
        "The database does not have %d deliveries whose outcomes were in %s; the file is kept as %s. If the database "
        "was still being restored, rename it back, and a worker writes them; if they were deleted, delete it. "
        "Deliveries: %s",
        len(found.missing),
        path,
        kept,
        _listed(found.missing),
    )


def _set_aside(path: Path, error: Exception) -> None:
    """Rename what cannot be read, so that no look meets it again."""
    try:
        kept = path.rename(path.with_suffix(".damaged"))
    except OSError:
        _complain_once(path, f"The outcomes in {path} cannot be read, and the file cannot be set aside: {error}")
        return
    logger.error("The outcomes in %s cannot be read (%r); the file is set aside as %s.", path, error, kept)


def _complain_once(path: Path, complaint: str) -> None:
    """Log it, once in this process: workers look again with every heartbeat."""
    if (path, complaint) not in _complaints:
        _complaints.add((path, complaint))
        logger.error(complaint)


def _listed(ids: Sequence[int]) -> str:
    return ", ".join(map(str, ids))


def _remove_abandoned(using: str) -> None:
    before = time.time() - ABANDONED_AFTER
    for part in get_folder().glob(f"{_fingerprint(using)}-*.part"):
        with suppress(OSError):
            if part.stat().st_mtime < before:
                part.unlink()


def _refuse_untrusted(path: Path) -> None:
    """
    :raises OSError: if another user may write into the folder, and so tell us what was accepted.
    """
    if fault := _untrusted(path):
        raise OSError(fault)


def _untrusted(path: Path) -> str:
    """Why others could put outcomes into this folder, or nothing."""
    if not hasattr(os, "getuid"):
        return ""
    found = path.stat()
    if found.st_uid != os.getuid():
        return (
            f"{path} must belong to the user of the worker (uid {os.getuid()}), not to uid {found.st_uid}. Change its "
            "owner, or set NOTIFICATIONS['STATE_DIR'] to another folder."
        )
    if found.st_mode & stat.S_IWOTH:
        return (
            f"Other users may write to {path}. Remove that permission (chmod o-w), or set NOTIFICATIONS['STATE_DIR'] "
            "to a folder of the worker's own."
        )
    return ""


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")


def _fingerprint(using: str) -> str:
    """Which database and schema the outcomes are for, as far as the settings tell.

    What may change with a deployment (user, password, time-outs) is left out, or the next start would not find them.
    """
    settings = connections[using].settings_dict
    options = settings.get("OPTIONS") or {}
    place = [str(settings.get(key, "")) for key in ("ENGINE", "HOST", "PORT", "NAME")]
    place += [str(options.get(key, "")) for key in ("service", "host", "port", "dbname", "search_path")]
    place += SEARCH_PATH.findall(str(options.get("options", "")))[-1:]
    return hashlib.sha256(json.dumps(place).encode()).hexdigest()[:16]


def _as_json(outcomes: Outcomes) -> dict[str, Any]:
    pairs = [_pair_as_json(*pair) for pair in outcomes.pairs if _identity(*pair)]
    return {"at": outcomes.at.isoformat(), "pairs": pairs}


def _identity(attempted: AttemptResult | None, news: StateChange) -> dict[str, str]:
    """What tells this delivery from another one with its id, in its worker's hands; empty where that is not known."""
    if attempted:
        delivery = attempted.delivery
        return {"correlation_id": str(delivery.notification.correlation_id), "owner": delivery.owner}
    if isinstance(news, UnsentChange):
        return {"correlation_id": news.correlation_id, "owner": news.owner}
    return {}


def _pair_as_json(attempted: AttemptResult | None, news: StateChange) -> dict[str, Any]:
    written = {field.name: getattr(news, field.name) for field in fields(StateChange)}
    written["due_at"] = news.due_at.isoformat() if news.due_at else None
    return {
        **_identity(attempted, news),
        "news": written,
        "attempted": attempted and _attempted_as_json(attempted),
    }


def _attempted_as_json(attempted: AttemptResult) -> dict[str, Any]:
    receipt, delivery = attempted.receipt, attempted.delivery
    return {
        "attempts": delivery.attempts,
        "duration": attempted.duration,
        "carrier": attempted.provider_name,
        "receipt": {
            "verdict": receipt.verdict.value,
            "provider": receipt.provider,
            "provider_message_id": receipt.provider_message_id,
            "error": mask_addresses_in(receipt.error),
            "suppress": receipt.suppress.value,
            "blames": receipt.blames.value,
            "code": receipt.code,
        },
    }


def _read(text: str, using: str) -> Found:
    written = json.loads(text)
    pairs = [pair for entry in written for pair in entry["pairs"]]
    outbox = Delivery.objects.using(using)
    found = outbox.with_notifications(outbox.filter(pk__in={pair["news"]["id"] for pair in pairs}))
    rows = {(row.pk, str(row.notification.correlation_id)): row for row in found}
    outcomes = [Outcomes(list(_pairs(entry["pairs"], rows)), datetime.fromisoformat(entry["at"])) for entry in written]
    return Found(outcomes, sorted({pair["news"]["id"] for pair in pairs if _key(pair) not in rows}))


def _key(pair: Mapping[str, Any]) -> tuple[int, str]:
    return pair["news"]["id"], pair["correlation_id"]


def _pairs(
    written: Sequence[Mapping[str, Any]], rows: Mapping[tuple[int, str], Delivery]
) -> Iterator[tuple[AttemptResult | None, StateChange]]:
    for pair in written:
        due_at = pair["news"]["due_at"]
        news = StateChange(**{**pair["news"], "due_at": datetime.fromisoformat(due_at) if due_at else None})
        row, known = rows.get(_key(pair)), pair["attempted"]
        if row is not None:
            # After a restore a living worker may have the row under the same fence: the attempt is logged, and no more.
            mine = row.owner == pair["owner"]
            yield known and _attempted(known, row), news if mine else replace(news, fence=NO_FENCE)


def _attempted(known: Mapping[str, Any], row: Delivery) -> AttemptResult:
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
    return AttemptResult(row, receipt, known["duration"], known["carrier"])
