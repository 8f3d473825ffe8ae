"""Faults and alerts of CAN buses, as staff see and acknowledge them."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from notifications.core import clock
from notifications.models import CanAlert, CanDevice, CanFault
from tests.admin.test_pages import can_alert, can_fault, list_url, page_url


@pytest.fixture
def rows(db: None) -> None:
    now = clock.now()
    can_fault("can0", raised_at=now).save()
    can_fault("can1", raised_at=now, spn=9, dsa=0x60, instance=3, correlation_id="other").save()
    can_fault("can0", raised_at=now, cleared_at=now, correlation_id="cleared").save()
    can_alert("can0", begun_at=now).save()
    can_alert("can0", begun_at=now, ended_at=now).save()
    CanDevice.objects.create(bus="can0", source_address=0x44, first_seen_at=now, last_seen_at=now, name="0a" * 8)


def acknowledge(client: Client, model: Any) -> Any:
    keys = list(model.objects.values_list("pk", flat=True))
    data = {"action": "acknowledge", "_selected_action": keys}
    return client.post(list_url(model, state="all"), data, follow=True)


def found(client: Client, model: Any, **query: str) -> int:
    return client.get(list_url(model, **query)).context["cl"].result_count


@pytest.mark.parametrize(("model", "standing"), [(CanFault, 2), (CanAlert, 1)])
def test_what_stands_is_acknowledged_once(model: Any, standing: int, rows: None, boss: Client) -> None:
    assert f"{standing} row" in acknowledge(boss, model).content.decode()
    first = list(model.objects.order_by("pk").values_list("acknowledged_at", "acknowledged_by__username"))
    assert sum(by == "boss" for _at, by in first) == standing
    assert LogEntry.objects.filter(change_message="acknowledged").count() == standing
    assert "0 rows were acknowledged." in acknowledge(boss, model).content.decode()
    assert list(model.objects.order_by("pk").values_list("acknowledged_at", "acknowledged_by__username")) == first


@pytest.mark.parametrize("model", [CanFault, CanAlert])
def test_acknowledging_requires_the_permission(model: Any, rows: None, staff_with: Any) -> None:
    name = model._meta.model_name
    client = staff_with(f"view_{name}")
    assert "Acknowledge" not in client.get(list_url(model)).content.decode()
    acknowledge(client, model)
    assert not model.objects.exclude(acknowledged_at=None).exists()


def test_staff_with_the_permission_can_acknowledge(rows: None, staff_with: Any) -> None:
    acknowledge(staff_with("view_canfault", "acknowledge_canfault"), CanFault)
    assert CanFault.objects.filter(acknowledged_by__username="clerk").count() == 2


def test_the_list_shows_what_stands_unless_something_else_is_chosen(rows: None, boss: Client) -> None:
    states = {"": 2, "open": 2, "ended": 1, "all": 3}
    assert {state: found(boss, CanFault, **({"state": state} if state else {})) for state in states} == states
    acknowledge(boss, CanFault)
    assert [found(boss, CanFault), found(boss, CanFault, state="open")] == [2, 0]
    assert [found(boss, CanAlert), found(boss, CanAlert, state="ended")] == [1, 1]


@pytest.mark.parametrize(
    ("model", "term", "count"),
    [
        (CanFault, "can1", 1),
        (CanFault, "0x45", 1),
        (CanFault, "0x44", 2),
        (CanFault, "131", 1),
        (CanFault, "other", 1),
        (CanFault, "0xZZ", 0),
        (CanFault, "0x1FFFFFFFFFFFFFFFFF", 0),
        (CanAlert, "low_battery", 1),
        (CanAlert, "tank", 0),
        (CanDevice, "0x44", 1),
        (CanDevice, "0A0A0A0A0A0A0A0A", 1),
    ],
)
def test_rows_are_found(model: Any, term: str, count: int, rows: None, boss: Client) -> None:
    assert found(boss, model, q=term) == count


def test_lists_are_filtered_by_bus(rows: None, boss: Client) -> None:
    assert [found(boss, CanFault, bus=bus) for bus in ("can0", "can1", "can2")] == [1, 1, 0]
    assert '<option value="can0"' in boss.get(list_url(CanFault)).content.decode()


def test_a_page_says_who_has_acknowledged(rows: None, boss: Client) -> None:
    acknowledge(boss, CanFault)
    text = boss.get(page_url(CanFault, CanFault.objects.get(correlation_id="other").pk)).content.decode()
    assert "0x60 (3)" in text
    assert 'acknowledged<span class="klaxon-note">boss, ' in text
