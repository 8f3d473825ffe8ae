"""Leftovers files: the outcomes that a worker could not write to the database before it ended.

Any worker on this machine reads them at its next rescue, before it looks for lost workers, so that messages that a
provider has accepted are not sent again. A process locks the file that it reads. The name of a file contains a hash of
the settings of the database.

==============  ==========================================================================================
Suffix          Meaning
==============  ==========================================================================================
``.outcomes``   not yet written to the database; the file stays while the database has none of its deliveries
``.unmatched``  written, except for deliveries that the database does not have
``.damaged``    cannot be read
``.part``       not finished by its writer; the next writer removes it after a day
==============  ==========================================================================================
"""

import hashlib
import json
import logging
import os
import re
import stat
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO
from uuid import uuid4

from django.core.files import locks
from django.db import Error, connections

from notifications import conf
from notifications.delivering.attempt_outcomes import KEPT_IN_A_FILE, NOT_RECORDED, Outcomes, Tally
from notifications.delivering.leftovers_json import LoadedOutcomes, dump_outcomes, load_outcomes

logger = logging.getLogger("notifications.dispatch")

SUFFIX = ".outcomes"
ABANDONED_AFTER_SECONDS = 86_400
"""A ``.part`` file that is older is never finished."""
SEARCH_PATH = re.compile(r"search[_-]path\s*=\s*((?:\\.|[^\s\\])+)")

_logged: set[tuple[Path, str]] = set()


def get_folder() -> Path:
    """Return ``STATE_DIR``, or a private folder of this user in the directory for temporary files."""
    configured = str(conf.current().state_dir)
    return Path(configured or Path(tempfile.gettempdir()) / f"django-klaxon-{_get_user()}")


def make_folder() -> Path:
    """Return the folder, which exists afterwards and which no other user can write to.

    :raises OSError: if that is not possible.
    """
    folder = get_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _refuse_untrusted(folder)
    return folder


def find_fault() -> str:
    """Return a sentence that says why this process cannot keep outcomes, or ``""`` if it can."""
    # Unlike Path.exists(), os.path.exists() returns False if this process may not look at the path.
    existing = next(path for path in [get_folder(), *get_folder().parents] if os.path.exists(path))  # noqa: PTH110
    if not existing.is_dir():
        return f"{existing} is not a folder."
    if not os.access(existing, os.R_OK | os.W_OK | os.X_OK):
        return f"This process may not write to {existing}."
    return _find_trust_fault(existing) if existing == get_folder() else ""


def save(unwritten: Sequence[Outcomes], using: str) -> Path:
    """Write outcomes to a new file and sync it to the disk. Return its path.

    Claimed deliveries that were to be given back are left out: other workers get them when their lease expires.

    :raises OSError: if the file cannot be written.
    """
    make_folder()
    _remove_abandoned(using)
    path = get_folder() / f"{hash_database(using)}-{uuid4().hex}{SUFFIX}"
    part = path.with_suffix(".part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(dump_outcomes(unwritten))
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    return path


def save_or_report(unwritten: Sequence[Outcomes], using: str, error: Error) -> Tally:
    """Write outcomes to a new file, and log that. If the file cannot be written, log what is lost.

    :param error: the reason why the outcomes cannot be written to the database.
    :return: how many outcomes are kept in the file, or not recorded.
    """
    ids = [change.id for outcomes in unwritten for _, change in outcomes.attempted]
    try:
        path = save(unwritten, using)
    except OSError:
        logger.exception(
            "The outcomes of %d deliveries can be written neither to the database (%s) nor to STATE_DIR. The "
            "deliveries among them that were accepted will be sent again. Deliveries: %s",
            len(ids),
            error,
            _format_ids(ids),
        )
        return Counter({NOT_RECORDED: len(ids)})
    logger.error(
        "The database cannot be used (%s). The outcomes of %d deliveries are kept in %s; the next start of a worker on "
        "this machine writes them. Deliveries: %s",
        error,
        len(ids),
        path,
        _format_ids(ids),
    )
    return Counter({KEPT_IN_A_FILE: len(ids)})


@contextmanager
def open_outcomes(path: Path, using: str) -> Iterator[list[Outcomes] | None]:
    """Lock a file and yield its outcomes. If the block succeeds, remove the file, or rename it if outcomes are left.

    Yield None if there is nothing to write: another process reads the file or has read it, the file cannot be read, or
    it belongs to another database.
    """
    file = _open_locked(path)
    if file is None:
        yield None
        return
    with file:
        loaded = _read_or_set_aside(file, path, using)
        if loaded is None or loaded.is_foreign:
            yield None
            return
        yield loaded.outcomes
        _remove_or_rename(path, loaded)


def find_files(using: str) -> list[Path]:
    """Return the files with outcomes for this database. Usually not even the folder exists."""
    try:
        if not get_folder().exists():
            return []
        _refuse_untrusted(get_folder())
        return sorted(get_folder().glob(f"{hash_database(using)}-*{SUFFIX}"))
    except OSError as error:
        _log_once(get_folder(), f"The outcomes of earlier workers cannot be read: {error}")
        return []


def _open_locked(path: Path) -> TextIO | None:
    """Return the file, open and locked, or None if another process has taken it or it cannot be opened."""
    try:
        file = path.open("r+")
    except FileNotFoundError:
        return None
    except (PermissionError, IsADirectoryError) as error:
        _set_aside(path, error)
        return None
    except OSError as error:
        # For example, too many files are open. The next call may succeed.
        _log_once(path, f"The outcomes in {path} cannot be read: {error}")
        return None
    try:
        if locks.lock(file, locks.LOCK_EX | locks.LOCK_NB) and path.exists():
            return file
    except OSError as error:
        _log_once(path, f"The outcomes in {path} cannot be locked: {error}")
    file.close()
    return None


def _read_or_set_aside(file: TextIO, path: Path, using: str) -> LoadedOutcomes | None:
    try:
        loaded = load_outcomes(file.read(), using)
    except (ValueError, LookupError, TypeError) as error:
        _set_aside(path, error)
        return None
    except OSError as error:
        _log_once(path, f"The outcomes in {path} cannot be read: {error}")
        return None
    if loaded.is_foreign:
        _log_once(
            path,
            f"The database has none of the deliveries whose outcomes are in {path}; the file is not changed. Workers "
            "read it again regularly, in case the database is still being restored. If it belongs to another database, "
            "set another STATE_DIR for one of the databases. If the deliveries were deleted, delete the file. "
            f"Deliveries: {_format_ids(loaded.missing)}",
        )
    elif loaded.outcomes:
        count = sum(len(outcomes.pairs) for outcomes in loaded.outcomes)
        logger.warning("An earlier worker has left the outcomes of %d deliveries in %s.", count, path)
    return loaded


def _remove_or_rename(path: Path, loaded: LoadedOutcomes) -> None:
    """Remove a file whose outcomes are written, or keep it as ``.unmatched`` if the database lacks deliveries."""
    try:
        if not loaded.missing:
            path.unlink(missing_ok=True)
            return
        kept = path.rename(path.with_suffix(".unmatched"))
    except OSError as error:
        _log_once(path, f"The outcomes in {path} are written, but the file cannot be removed: {error}")
        return
    logger.error(
        "The database does not have %d deliveries whose outcomes were in %s; the file is kept as %s. If the database "
        "was still being restored, rename it back, and a worker writes the outcomes. If the deliveries were deleted, "
        "delete the file. Deliveries: %s",
        len(loaded.missing),
        path,
        kept,
        _format_ids(loaded.missing),
    )


def _set_aside(path: Path, error: Exception) -> None:
    """Rename a file that cannot be read, so that no worker reads it again."""
    try:
        kept = path.rename(path.with_suffix(".damaged"))
    except OSError:
        _log_once(path, f"The outcomes in {path} cannot be read, and the file cannot be set aside: {error}")
        return
    logger.error("The outcomes in %s cannot be read (%r); the file is set aside as %s.", path, error, kept)


def _log_once(path: Path, message: str) -> None:
    """Log an error once in this process, because workers read the files again with every heartbeat."""
    if (path, message) not in _logged:
        _logged.add((path, message))
        logger.error(message)


def _format_ids(ids: Sequence[int]) -> str:
    return ", ".join(map(str, ids))


def _remove_abandoned(using: str) -> None:
    """Remove ``.part`` files that are older than a day."""
    before = time.time() - ABANDONED_AFTER_SECONDS
    for part in get_folder().glob(f"{hash_database(using)}-*.part"):
        with suppress(OSError):
            if part.stat().st_mtime < before:
                part.unlink()


def _refuse_untrusted(path: Path) -> None:
    """Raise an error if another user could put forged outcomes into the folder.

    :raises OSError: with the reason.
    """
    if fault := _find_trust_fault(path):
        raise OSError(fault)


def _find_trust_fault(path: Path) -> str:
    """Return a sentence that says why other users could put outcomes into this folder, or ``""``."""
    if not hasattr(os, "getuid"):
        return ""
    status = path.stat()
    if status.st_uid != os.getuid():
        return (
            f"{path} must belong to the user of the worker (uid {os.getuid()}), not to uid {status.st_uid}. Change its "
            "owner, or set NOTIFICATIONS['STATE_DIR'] to another folder."
        )
    if status.st_mode & stat.S_IWOTH:
        return (
            f"Other users may write to {path}. Remove that permission (chmod o-w), or set NOTIFICATIONS['STATE_DIR'] "
            "to a folder that only the worker uses."
        )
    return ""


def _get_user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")


def hash_database(using: str) -> str:
    """Return a hash of the settings that identify the database and schema.

    Settings that a deployment may change (user, password, time-outs) are left out, or the next start would not find the
    files.
    """
    settings = connections[using].settings_dict
    options = settings.get("OPTIONS") or {}
    values = [str(settings.get(key, "")) for key in ("ENGINE", "HOST", "PORT", "NAME")]
    values += [str(options.get(key, "")) for key in ("service", "host", "port", "dbname", "search_path")]
    values += SEARCH_PATH.findall(str(options.get("options", "")))[-1:]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]
