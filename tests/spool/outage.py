"""A database that cannot be reached: this process no longer knows where it is, and connecting fails for real."""

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
