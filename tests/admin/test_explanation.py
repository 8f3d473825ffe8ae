"""The page of a delivery explains its state: in a sentence, and gate by gate while it waits."""

from datetime import UTC, datetime, time
from html.parser import HTMLParser
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from notifications.core import clock
from notifications.models import Cluster, Delivery, NotificationLog, Pause, UserSettings
from notifications.testing import travelling
from tests.admin.conftest import customers, put_into, send
from tests.admin.test_pages import page_url

MIDNIGHT = datetime(2026, 11, 21, 23, tzinfo=UTC)
NIGHT = {"quiet_from": time(22), "quiet_until": time(7), "time_zone": "Europe/Berlin"}
READS = ("SELECT", "WITH", "SAVEPOINT", "RELEASE")


@pytest.fixture(autouse=True)
def midnight() -> Any:
    with travelling(MIDNIGHT):
        yield


@pytest.fixture
def waiting(cluster: Cluster) -> Delivery:
    """An email that is held until the morning."""
    [user] = customers(1)
    UserSettings.objects.create(user=user, cluster=cluster, **NIGHT)
    send([user], dispatch=False)
    return Delivery.objects.get(channel="email")


def page_of(delivery: Delivery, client: Client) -> str:
    return client.get(page_url(Delivery, delivery.pk)).content.decode()


class Table(HTMLParser):
    """The cells of the table of gates, and the scopes of its headings."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.scopes: list[str] = []
        self.caption = ""
        self.inside = self.into = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        given = dict(attributes)
        if tag == "table":
            self.inside = given.get("class", "")
        elif self.inside == "klaxon-gates":
            self.into = tag if tag in ("th", "td", "caption") else self.into
            if tag == "tr":
                self.rows.append([])
            elif tag in ("th", "td"):
                self.rows[-1].append("")
                self.scopes += [given["scope"]] if tag == "th" else []

    def handle_endtag(self, tag: str) -> None:
        self.inside = "" if tag == "table" else self.inside
        self.into = "" if tag == self.into else self.into

    def handle_data(self, text: str) -> None:
        if self.inside == "klaxon-gates" and self.into == "caption":
            self.caption += text
        elif self.inside == "klaxon-gates" and self.into:
            self.rows[-1][-1] += text


def test_a_waiting_delivery_is_explained_gate_by_gate(waiting: Delivery, boss: Client) -> None:
    page = page_of(waiting, boss)
    assert "It waits until 07:00 on Sunday 22 November 2026, Europe/Berlin: quiet hours of this user" in page
    heads, *rows = Table(page).rows
    assert heads == ["Gate", "Answer", "Rule, and what would have to change"]
    assert [row[:2] for row in rows] == [
        ["recipient", "deliver"],
        ["suppression", "deliver"],
        ["preferences", "deliver"],
        ["mutes", "deliver"],
        ["quiet hours", "hold"],
    ]
    assert rows[-1][2] == (
        "quiet hours of this user: 22:00–07:00 Europe/BerlinUntil 07:00 on Sunday 22 November 2026, Europe/Berlin."
        "The user would have to choose other quiet hours, or the event would have to declare ignores_quiet_hours."
    )


def test_the_table_is_accessible(waiting: Delivery, boss: Client) -> None:
    table = Table(page_of(waiting, boss))
    assert table.caption.startswith("The current decisions of the gates")
    assert table.scopes == ["col"] * 3 + ["row"] * 5


def test_a_finished_delivery_has_a_reason_and_no_table(waiting: Delivery, boss: Client) -> None:
    put_into("dead", reason="permanent", settled_at=clock.now())
    page = page_of(waiting, boss)
    assert "It was not sent, and is not retried: The provider refused permanently." in page
    assert "klaxon-gates" not in page


def test_a_pause_is_shown(waiting: Delivery, boss: Client) -> None:
    Pause.objects.pause("email", "<moving>", MIDNIGHT)
    assert "The channel email is paused (&lt;moving&gt;)" in page_of(waiting, boss)


def test_it_needs_as_many_queries_for_fifty_attempts_as_for_none(waiting: Delivery, boss: Client) -> None:
    page_of(waiting, boss)
    with CaptureQueriesContext(connection) as for_none:
        page_of(waiting, boss)
    delivery = Delivery.objects.select_related("notification").get(pk=waiting.pk)
    NotificationLog.objects.append(NotificationLog.for_delivery(delivery, "attempt", MIDNIGHT) for _ in range(50))
    with CaptureQueriesContext(connection) as for_fifty:
        page_of(waiting, boss)
    assert len(for_fifty) == len(for_none) < 25


def test_viewing_changes_nothing(waiting: Delivery, boss: Client) -> None:
    page_of(waiting, boss)
    with CaptureQueriesContext(connection) as queries:
        page_of(waiting, boss)
    wrote = [query["sql"] for query in queries if query["sql"].lstrip("(").split()[0] not in READS]
    assert wrote == []


def test_a_backend_that_cannot_be_imported_is_reported(waiting: Delivery, boss: Client, settings: Any) -> None:
    settings.NOTIFICATIONS = {"CHANNELS": {"email": {"BACKEND": "shop.gone.Channel"}}}
    for state in ("held", "dead"):
        put_into(state)
        response = boss.get(page_url(Delivery, waiting.pk))
        assert response.status_code == 200
        assert "There is no explanation, because an object that the settings name cannot be imported: No module" in (
            response.content.decode()
        )
