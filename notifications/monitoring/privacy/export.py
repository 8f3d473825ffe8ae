"""Export everything that Klaxon holds about a person, row by row, so that any number of rows fits into memory."""

import io
import json
import os
import zipfile
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models, router

from notifications.context import decrypt_context
from notifications.exceptions import KlaxonError
from notifications.models import Cluster, Delivery, InboxItem, Notification
from notifications.monitoring.privacy.holdings import AUTHORS, HOLDINGS, Holding
from notifications.monitoring.privacy.person import Person
from notifications.storage.chunks import iterate_in_chunks

encode = DjangoJSONEncoder(ensure_ascii=False).encode
PAGE = 200
NOT_READABLE = "encrypted; the key is missing"


def export(person: Person, path: Path, now: datetime) -> Counter[str]:
    """Write a file about a person; return the number of rows by table.

    :param path: a ``.zip`` gets a file of JSON lines for each table, any other name one JSON object.
    :raises FileExistsError: if there is such a file.
    :raises OSError: if the file cannot be written.
    """
    write = _export_zip if path.suffix.lower() == ".zip" else _export_json
    # Only the owner may read it.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        try:
            return write(person, file, now)
        except BaseException:
            # Nobody should take a part of it for the whole, and the command can be repeated.
            path.unlink(missing_ok=True)
            raise


def describe_person(person: Person, now: datetime) -> dict[str, Any]:
    return {"exported_at": now, "recipient_keys": person.keys, "addresses": person.values}


def _export_zip(person: Person, output: BinaryIO, now: datetime) -> Counter[str]:
    counts: Counter[str] = Counter()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as container:
        container.writestr("person.json", encode(describe_person(person, now)))
        for name, rows in iterate_tables(person):
            with container.open(f"{name}.jsonl", "w", force_zip64=True) as raw:
                file = io.TextIOWrapper(raw, encoding="utf-8", newline="\n")
                for row in rows:
                    file.write(f"{encode(row)}\n")
                    counts[name] += 1
                file.flush()
                file.detach()
    return counts


def _export_json(person: Person, output: BinaryIO, now: datetime) -> Counter[str]:
    counts: Counter[str] = Counter()
    with io.TextIOWrapper(output, encoding="utf-8", newline="\n") as file:
        file.write(f'{{"person": {encode(describe_person(person, now))}')
        for name, rows in iterate_tables(person):
            file.write(f",\n{json.dumps(name)}: [")
            for number, row in enumerate(rows):
                file.write(f"{',' * bool(number)}\n{encode(row)}")
                counts[name] += 1
            file.write("]")
        file.write("}\n")
    return counts


def iterate_tables(person: Person) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
    """Yield the name and the rows of each table."""
    yield "notifications", _iterate_notifications(person)
    for holding in HOLDINGS:
        yield holding.model._meta.model_name, _iterate_rows(person, holding)
    yield "actions", _iterate_actions(person)
    yield "clusters", _iterate_clusters(person)


def _iterate_rows(person: Person, holding: Holding) -> Iterator[dict[str, Any]]:
    names = [field.attname for field in holding.model._meta.concrete_fields if field.attname not in holding.without]
    for values in iterate_in_chunks(holding.rows(person), *names, size=PAGE):
        row = dict(zip(names, values, strict=True))
        if holding.model is InboxItem:
            row |= _reveal_item(row)
        yield row


def _iterate_actions(person: Person) -> Iterator[dict[str, Any]]:
    """Yield what the person has done in rows of others: which column of which row names the person."""
    if person.user is None:
        return
    for model, column in AUTHORS:
        rows: Any = models.QuerySet(model, using=router.db_for_write(model)).filter(**{column: person.user.pk})
        for (pk,) in iterate_in_chunks(rows.order_by("pk"), "pk", size=PAGE):
            yield {"table": model._meta.model_name, "id": pk, "column": column}


def _iterate_clusters(person: Person) -> Iterator[dict[str, Any]]:
    """Yield the clusters that list the person as a member. A site with its own model of clusters keeps that itself."""
    if person.user is None or Cluster._meta.swapped:
        return
    for row in Cluster.objects.using(router.db_for_write(Cluster)).filter(members=person.user.pk).order_by("pk"):
        yield {"id": row.pk, "name": row.name}


def _reveal_item(row: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a sensitive item, which belongs to the person as well."""
    if not (token := row.pop("encrypted")):
        return {}
    try:
        title, body = InboxItem(encrypted=token).reveal()
    except KlaxonError:
        return {"body": NOT_READABLE}
    return {"title": title, "body": body}


def _iterate_notifications(person: Person) -> Iterator[dict[str, Any]]:
    """Yield what was sent to the person: each notification once, without whom else it was sent to."""
    holding = next(one for one in HOLDINGS if one.model is Delivery)
    using = router.db_for_write(Notification)
    ids = sorted(set(holding.rows(person).order_by().values_list("notification", flat=True).distinct()))
    for start in range(0, len(ids), PAGE):
        rows = Notification.objects.using(using).filter(pk__in=ids[start : start + PAGE]).order_by("pk")
        for row in rows:
            yield {
                "id": row.pk,
                "event": row.event,
                "created_at": row.created_at,
                "topic": row.topic,
                "campaign": row.campaign,
                "correlation_id": row.correlation_id,
                "context": _reveal_context(row.context),
            }


def _reveal_context(context: Any) -> Any:
    try:
        return decrypt_context(context)
    except KlaxonError:
        return NOT_READABLE
