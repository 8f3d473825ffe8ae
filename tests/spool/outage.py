"""Simulate a database that cannot be reached. The settings name a wrong place, so that connecting really fails."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

NOWHERE = {"sqlite": {"NAME": "/nowhere/site.sqlite3"}, "postgresql": {"HOST": "/nowhere"}}


@contextmanager
def outage() -> Iterator[None]:
    elsewhere = NOWHERE[connection.vendor]
    before = {name: connection.settings_dict[name] for name in elsewhere}
    connection.close()
    connection.settings_dict.update(elsewhere)
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict.update(before)
