"""What Django's admin has recorded about rows of Klaxon: it names each row as it was shown, also by login names."""

from typing import Any

from django.apps import apps
from django.db import models, router

from notifications.monitoring.privacy.holdings import find_mentions
from notifications.monitoring.privacy.person import Person

COLUMNS = ("object_repr", "change_message")


def find_history_model() -> Any:
    """Return the model of the history; None if the site has no admin."""
    return apps.get_model("admin", "LogEntry") if apps.is_installed("django.contrib.admin") else None


def scrub_history(person: Person) -> int:
    """Erase a person from the history of rows of Klaxon; return how many entries have changed.

    The history of other rows is the site's.
    """
    model = find_history_model()
    if model is None:
        return 0
    changed = 0
    rows: Any = models.QuerySet(model, using=router.db_for_write(model))
    for entry in find_mentions(person, model, COLUMNS):
        values = {column: person.scrub(getattr(entry, column)) for column in COLUMNS}
        if getattr(entry.content_type, "app_label", "") == "klaxon":
            changed += rows.filter(pk=entry.pk).update(**values)
    return changed
