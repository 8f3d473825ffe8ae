"""What Klaxon holds about a person outside of the database: in the archive, the spool and the leftovers of workers."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.db import router

from notifications import conf
from notifications.core import clock
from notifications.delivering import leftovers
from notifications.exceptions import KlaxonError
from notifications.models import Acknowledgement, AttachedFile, Delivery, LogPersonal, Notification, NotificationLog
from notifications.monitoring.privacy.person import Person
from notifications.monitoring.retention import archive
from notifications.storage.chunks import iterate_in_chunks

READ_BYTES = 1 << 20


def make_line_filter(
    person: Person, unreadable: Callable[[str], None] = lambda sentence: None
) -> Callable[[dict[str, Any]], dict[str, Any] | None]:
    """Return a function that erases the person from a line of the archive: None if the line is the person's.

    :param unreadable: is called with a sentence about each line that is encrypted and cannot be read.
    """
    own = {Delivery._meta.label_lower, Acknowledgement._meta.label_lower}
    keys, hashes = set(person.keys), set(person.address_hashes)
    user = None if person.user is None else person.user.pk
    others = {str(pk) for pk in person.others}
    personal_logs: set[Any] = set()

    def change(line: dict[str, Any]) -> dict[str, Any] | None:
        table, row = line["table"], line["row"]
        is_other = str(row.get("recipient_id")) in others
        by_address = bool(row.get("address")) and row.get("address_hash") in hashes and not is_other
        is_mine = row.get("recipient_key") in keys or by_address
        is_mine |= user is not None and str(user) in (str(row.get("recipient_id")), str(row.get("user_id")))
        if table == NotificationLog._meta.label_lower and is_mine:
            personal_logs.add(row["id"])
        if (is_mine and table in own) or (
            table == LogPersonal._meta.label_lower and row.get("log_id") in personal_logs
        ):
            return None
        return {**line, "row": _scrub_row(person, table, row, unreadable)}

    return change


def _scrub_row(person: Person, table: str, row: dict[str, Any], unreadable: Callable[[str], None]) -> dict[str, Any]:
    """Return a row of the archive without the person's name and addresses, and without what the person has done."""
    changed = {name: person.scrub(value) for name, value in row.items()}
    if table == Notification._meta.label_lower:
        try:
            changed["context"] = person.scrub_context(row["context"])
        except KlaxonError as error:
            unreadable(f"Notification {row['id']} of the archive is encrypted and cannot be read: {error}")
    for column in ("actor_id", "by_id", "acknowledged_by_id"):
        if person.user is not None and str(row.get(column)) == str(person.user.pk):
            changed[column] = None
    if changed.get("by_key") in person.keys:
        changed["by_key"] = ""
    return changed


def rewrite_archive(person: Person, unreadable: Callable[[str], None]) -> int:
    """Erase a person from all files of the archive; return how many lines have changed.

    :param unreadable: as for :func:`make_line_filter`.
    :raises ArchiveDamaged: if a file cannot be read.
    """
    folder = archive.get_folder()
    if folder is None:
        return 0
    now = clock.now(router.db_for_write(Delivery))
    paths = archive.list_manifests(folder)
    return sum(archive.rewrite(path, make_line_filter(person, unreadable), now) for path in paths)


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


def find_attachments(person: Person) -> Iterator[str]:
    """Yield a sentence for each stored attachment whose bytes mention the person. It reads all attachments."""
    rows = AttachedFile.objects.using(router.db_for_write(AttachedFile)).order_by("pk")
    spellings = [text.encode().lower() for text in person.iterate_spellings()]
    for pk, notification, content in iterate_in_chunks(rows, "pk", "notification", "content", size=1):
        if any(text in bytes(content).lower() for text in spellings):
            yield (
                f"The attachment {pk} of notification {notification}, which others got too, mentions the person. It is "
                "deleted with the age ATTACHMENTS of NOTIFICATIONS['RETENTION'], or by you."
            )


def _search(folder: Path, person: Person) -> Iterator[Path]:
    spellings = [text.encode() for text in person.iterate_spellings()]
    for path in sorted(folder.iterdir()):
        if path.is_file() and any(_contains(path, text) for text in spellings):
            yield path


def _contains(path: Path, text: bytes) -> bool:
    """Return whether a file contains a text in any case of its ASCII letters."""
    rest, text = b"", text.lower()
    with path.open("rb") as file:
        while block := file.read(READ_BYTES):
            rest += block.lower()
            if text in rest:
                return True
            rest = rest[-len(text) :]
    return False
