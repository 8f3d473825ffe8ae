"""What Klaxon holds about a person outside of the database: in the archive, the spool and the leftovers of workers."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.db import router

from notifications import conf
from notifications.core import clock
from notifications.delivering import leftovers
from notifications.models import Acknowledgement, Delivery, LogPersonal, NotificationLog
from notifications.monitoring.privacy.person import Person
from notifications.monitoring.retention import archive

READ_BYTES = 1 << 20


def make_line_filter(person: Person) -> Callable[[dict[str, Any]], dict[str, Any] | None]:
    """Return a function that erases the person from a line of the archive: None if the line is the person's."""
    own = {Delivery._meta.label_lower, Acknowledgement._meta.label_lower}
    keys, hashes = set(person.keys), set(person.address_hashes)
    user = None if person.user is None else person.user.pk
    personal_logs: set[Any] = set()

    def change(line: dict[str, Any]) -> dict[str, Any] | None:
        table, row = line["table"], line["row"]
        is_mine = row.get("recipient_key") in keys or (bool(row.get("address")) and row.get("address_hash") in hashes)
        is_mine |= user is not None and str(user) in (str(row.get("recipient_id")), str(row.get("user_id")))
        if table == NotificationLog._meta.label_lower and is_mine:
            personal_logs.add(row["id"])
        if (is_mine and table in own) or (
            table == LogPersonal._meta.label_lower and row.get("log_id") in personal_logs
        ):
            return None
        changed = {name: person.scrub(value) for name, value in row.items()}
        for column in ("actor_id", "by_id", "acknowledged_by_id"):
            if user is not None and str(row.get(column)) == str(user):
                changed[column] = None
        if changed.get("by_key") in keys:
            changed["by_key"] = ""
        return {**line, "row": changed}

    return change


def rewrite_archive(person: Person) -> int:
    """Erase a person from all files of the archive; return how many lines have changed.

    :raises ArchiveDamaged: if a file cannot be read.
    """
    folder = archive.get_folder()
    if folder is None:
        return 0
    now = clock.now(router.db_for_write(Delivery))
    return sum(archive.rewrite(path, make_line_filter(person), now) for path in archive.list_manifests(folder))


def find_files(person: Person) -> list[str]:
    """Return a sentence for each file of Klaxon outside of the database that mentions the person."""
    site, found = conf.current(), []
    spool = Path(site.spool_dir) if str(site.spool_dir) else None
    for folder, remedy in (
        (spool, "Run `manage.py replay_spool`, or delete the file."),
        (leftovers.get_folder(), "Start a worker, which reads it, or delete the file."),
    ):
        if folder is not None and folder.is_dir():
            found += [f"{path} mentions the person. {remedy}" for path in _search(folder, person)]
    if folder := archive.get_folder():
        unlisted = archive.find_unlisted(folder) if folder.is_dir() else []
        found += [f"{path} has no manifest, and may mention the person. Delete the file." for path in unlisted]
    return found


def _search(folder: Path, person: Person) -> Iterator[Path]:
    spellings = [text.encode() for text in person.iterate_spellings()]
    for path in sorted(folder.iterdir()):
        if path.is_file() and any(_contains(path, text) for text in spellings):
            yield path


def _contains(path: Path, text: bytes) -> bool:
    rest = b""
    with path.open("rb") as file:
        while block := file.read(READ_BYTES):
            if text in rest + block:
                return True
            rest = block[-len(text) :]
    return False
