"""The actions to send deliveries again and to cancel them: permissions, confirmation and history."""

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from notifications import signals
from notifications.admin import confirmation
from notifications.delivering.dispatcher import Dispatcher
from notifications.models import Cluster, Delivery, NotificationLog
from notifications.outcomes import DeliveryState
from tests.admin.conftest import customers, put_into, send

URL = "admin:klaxon_delivery_changelist"


def select_action(client: Client, action: str, ids: list[int], **more: Any) -> Any:
    return client.post(reverse(URL), {"action": action, "_selected_action": ids, **more})


def confirm(client: Client, page: Any) -> Any:
    """Submit the confirmation page."""
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.content.decode()))
    assert fields.pop("csrfmiddlewaretoken")
    return client.post(reverse(URL), fields)


def get_message(response: Any) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def states() -> set[str]:
    return set(Delivery.objects.values_list("state", flat=True))


@pytest.mark.parametrize(("action", "state"), [("send_again", "dead"), ("cancel", "ready")])
def test_an_action_shows_a_confirmation_page_and_changes_nothing(
    action: str, state: str, boss: Client, cluster: Cluster
) -> None:
    send(customers(2), dispatch=False)
    page = select_action(boss, action, put_into(state))
    assert re.search(r"<h1>(Send|Cancel) 4 deliveries( again)?\?</h1>", page.content.decode())
    assert states() == {state}
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("state", ["dead", "unknown"])
def test_dead_and_unknown_deliveries_are_sent_again(state: str, boss: Client, cluster: Cluster) -> None:
    send(customers(1))
    ids = put_into(state, attempts=3, strikes=1)
    response = confirm(boss, select_action(boss, "send_again", ids))
    assert response.status_code == 302
    assert get_message(response) == "2 deliveries will be sent again."
    assert list(Delivery.objects.values_list("state", "epoch", "attempts", "strikes")) == [("ready", 1, 0, 0)] * 2
    key = boss.session["_auth_user_id"]
    words = NotificationLog.objects.filter(kind="resent", delivery__in=ids).values_list("error_message", flat=True)
    assert list(words) == [f"by u:{key}: sent again in the admin"] * 2
    Dispatcher().run_until_idle()
    assert states() == {"sent"}


@pytest.mark.parametrize("state", ["held", "ready", "retry"])
def test_waiting_deliveries_are_cancelled(state: str, boss: Client, cluster: Cluster) -> None:
    send(customers(1), dispatch=False)
    response = confirm(boss, select_action(boss, "cancel", put_into(state)))
    assert get_message(response) == "2 deliveries were cancelled."
    assert states() == {"cancelled"}
    assert Delivery.objects.filter(settled_at__isnull=True, due_at__isnull=True).count() == 0


@pytest.mark.parametrize("action", ["send_again", "cancel"])
@pytest.mark.parametrize("state", ["claimed", "sending", "sent", "dropped", "merged", "expired"])
def test_deliveries_in_other_states_are_refused_with_a_message(
    action: str, state: str, boss: Client, cluster: Cluster
) -> None:
    send(customers(1), dispatch=False)
    response = select_action(boss, action, put_into(state))
    assert response.status_code == 302
    assert get_message(response).startswith("Nothing to ")
    assert states() == {state}


def test_others_among_the_selected_are_counted_as_skipped(boss: Client, cluster: Cluster) -> None:
    dead, sent = send(customers(2)), send(customers(3, "bob"))
    ids = [*put_into("dead", of=dead), *put_into("sent", of=sent)]
    page = select_action(boss, "send_again", ids)
    assert "Send 4 deliveries again?" in page.content.decode()
    assert "6 other selected deliveries will not be changed." in page.content.decode()
    assert get_message(confirm(boss, page)).startswith("4 deliveries will be sent again. 6 deliveries were skipped, ")
    assert Delivery.objects.filter(state="sent").count() == 6


def test_a_second_click_resends_nothing_even_if_all_are_dead_again(boss: Client, cluster: Cluster) -> None:
    send(customers(1))
    page = select_action(boss, "send_again", put_into("dead"))
    confirm(boss, page)
    put_into("dead")
    assert " 0 deliveries will be sent again. 2 deliveries were skipped, " in get_message(confirm(boss, page))
    assert states() == {"dead"}
    assert LogEntry.objects.count() == 2


def test_deliveries_claimed_in_the_meantime_are_not_cancelled(boss: Client, cluster: Cluster) -> None:
    send(customers(1), dispatch=False)
    ids = put_into("ready")
    page = select_action(boss, "cancel", ids)
    Delivery.objects.filter(pk=ids[0]).update(state=DeliveryState.CLAIMED)
    assert (
        get_message(confirm(boss, page))
        == "1 delivery was cancelled. 1 delivery was skipped, because it is no longer waiting."
    )
    assert Delivery.objects.get(pk=ids[0]).state == "claimed"


def test_only_confirmed_rows_are_changed_if_all_pages_are_selected(boss: Client, cluster: Cluster) -> None:
    send(customers(1))
    ids = put_into("dead")
    page = select_action(boss, "send_again", ids[:1], select_across="1")
    late = send(customers(1, "bob"))
    put_into("dead", of=late)
    confirm(boss, page)
    assert Delivery.objects.filter(state="ready").count() == 2
    assert set(Delivery.objects.filter(notification=late).values_list("state", flat=True)) == {"dead"}


def test_at_most_a_fixed_number_is_changed_together(boss: Client, cluster: Cluster, monkeypatch: Any) -> None:
    monkeypatch.setattr(confirmation, "MAX_ROWS", 3)
    send(customers(4))
    page = select_action(boss, "send_again", put_into("dead")[:1], select_across="1")
    assert "The action changes at most 3 deliveries at once." in page.content.decode()
    assert get_message(confirm(boss, page)).startswith("3 deliveries will be sent again. 5 deliveries were skipped")
    assert Delivery.objects.filter(state="ready").count() == 3


@pytest.mark.parametrize("forged", ["", "x", "1", "1-", "1-2-3", "1-0,,", "-1-0", "9" * 30 + "-0"])
def test_a_forged_confirmation_is_refused(forged: str, boss: Client, cluster: Cluster) -> None:
    send(customers(1))
    ids = put_into("dead")
    assert select_action(boss, "send_again", ids, confirmed=forged).status_code == 400
    assert states() == {"dead"}


def test_each_changed_delivery_gets_a_history_entry(boss: Client, cluster: Cluster) -> None:
    send(customers(1))
    ids = put_into("dead")
    confirm(boss, select_action(boss, "send_again", ids))
    entries = LogEntry.objects.all()
    assert {int(entry.object_id) for entry in entries} == set(ids)
    assert {entry.get_change_message() for entry in entries} == {"Sent again."}
    assert {entry.user.username for entry in entries} == {"boss"}


@pytest.mark.parametrize(
    ("held", "forbidden", "state"),
    [("cancel_delivery", "send_again", "dead"), ("retry_delivery", "cancel", "ready")],
)
def test_an_action_requires_its_permission(
    held: str, forbidden: str, state: str, staff_with: Any, cluster: Cluster
) -> None:
    clerk = staff_with("view_delivery", held)
    send(customers(1), dispatch=False)
    ids = put_into(state)
    listed = clerk.get(reverse(URL)).context["action_form"].fields["action"].choices
    assert forbidden not in dict(listed)
    assert len(listed) == 2
    confirmed = ",".join(f"{pk}-0" for pk in ids)
    select_action(clerk, forbidden, ids, confirmed=confirmed)
    assert states() == {state}


def test_the_permission_is_sufficient(staff_with: Any, cluster: Cluster) -> None:
    clerk = staff_with("view_delivery", "retry_delivery")
    send(customers(1))
    confirm(clerk, select_action(clerk, "send_again", put_into("dead")))
    assert states() == {"ready"}


def test_workers_are_woken_on_commit(boss: Client, cluster: Cluster, django_capture_on_commit_callbacks: Any) -> None:
    number = send(customers(2))
    page = select_action(boss, "send_again", put_into("dead"))
    facts: list[dict[str, Any]] = []

    def listen(**fact: Any) -> None:
        facts.append(fact)

    signals.notifications_queued.connect(listen)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            confirm(boss, page)
            assert facts == []
    finally:
        signals.notifications_queued.disconnect(listen)
    assert [(fact["partition"], fact["notification_ids"]) for fact in facts] == [("default", (number,))]


def test_the_confirmation_page_needs_as_many_queries_for_fifty_rows_as_for_one(
    boss: Client, cluster: Cluster, django_assert_max_num_queries: Any
) -> None:
    send(customers(1, "bob"))
    one = put_into("dead")
    with django_assert_max_num_queries(99) as for_one:
        select_action(boss, "send_again", one)
    send(customers(25))
    fifty = put_into("dead")
    with django_assert_max_num_queries(99) as for_fifty:
        select_action(boss, "send_again", fifty)
    assert len(for_fifty) == len(for_one)
