"""The admin of suppressions and pauses."""

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from notifications.core import clock
from notifications.models import Pause, Suppression

SUPPRESSIONS = "admin:klaxon_suppression_changelist"
ADD_PAUSE = "admin:klaxon_pause_add"


def search_addresses(client: Client, text: str) -> list[str]:
    page = client.get(reverse(SUPPRESSIONS, query={"q": text}))
    return [row.address for row in page.context["cl"].result_list]


class TestSuppressions:
    @pytest.fixture(autouse=True)
    def _suppressed(self, db: None) -> None:
        pairs = [("email", "Ann@Example.com"), ("email", '"a b"@example.com'), ("phone", "+4915112345678")]
        Suppression.objects.suppress(pairs, Suppression.Cause.HARD_BOUNCE, clock.now())

    @pytest.mark.parametrize(
        ("typed", "address"),
        [
            ("ann@example.com", "A***@Example.com"),
            (" ANN@EXAMPLE.COM ", "A***@Example.com"),
            ('"A b"@example.com', '"***@example.com'),
            ("+4915112345678", "+49***78"),
        ],
    )
    def test_a_suppression_is_found_by_address_in_any_case(self, typed: str, address: str, boss: Client) -> None:
        assert search_addresses(boss, typed) == [address]

    @pytest.mark.parametrize("typed", ["ann", "example.com", "bob@example.com", "ann@example.com bob"])
    def test_parts_of_an_address_find_nothing(self, typed: str, boss: Client) -> None:
        assert search_addresses(boss, typed) == []

    def test_all_are_listed_without_a_search(self, boss: Client) -> None:
        assert len(search_addresses(boss, "")) == len(search_addresses(boss, " ")) == 3

    def lift(self, client: Client, *rows: Suppression, **fields: str) -> Any:
        keys = [str(row.pk) for row in rows]
        return client.post(reverse(SUPPRESSIONS), {"action": "lift", "_selected_action": keys, **fields})

    def test_a_suppression_cannot_be_changed(self, boss: Client) -> None:
        row = Suppression.objects.all()[0]
        url = reverse("admin:klaxon_suppression_change", args=[row.pk])
        assert boss.get(url).status_code == 200
        assert boss.post(url, {"address": "x"}).status_code == 403

    def test_lifting_asks_for_a_reason(self, boss: Client) -> None:
        row = Suppression.objects.all()[0]
        text = self.lift(boss, row).content.decode()
        assert "<h1>Lift 1 suppression?</h1>" in text
        assert row.address.replace('"', "&quot;") in text
        again = self.lift(boss, row, confirmed=str(row.pk), note=" ").content.decode()
        assert "Enter a reason for lifting the suppression." in again
        assert Suppression.objects.filter(is_active=True).count() == 3

    def test_the_row_and_its_history_keep_the_reason(self, boss: Client) -> None:
        first, second, _third = Suppression.objects.order_by("pk")
        self.lift(boss, first, second, confirmed=f"{first.pk},{second.pk}", note="they exist again")
        lifted = Suppression.objects.filter(is_active=False).values_list("lift_note", "lifted_by__username")
        assert list(lifted) == [("they exist again", "boss")] * 2
        assert [entry.change_message for entry in LogEntry.objects.all()] == ["they exist again"] * 2

    def test_a_row_that_was_not_confirmed_stays(self, boss: Client) -> None:
        first, second, third = Suppression.objects.order_by("pk")
        self.lift(boss, first, second, third, confirmed=f"{first.pk}", note="it exists again")
        assert Suppression.objects.filter(is_active=True).count() == 2

    def test_lifting_twice_changes_nothing(self, boss: Client) -> None:
        row = Suppression.objects.all()[0]
        for note in ("it exists again", "another reason"):
            self.lift(boss, row, confirmed=str(row.pk), note=note)
        row.refresh_from_db()
        assert row.lift_note == "it exists again"

    def test_a_forged_confirmation_is_refused(self, boss: Client) -> None:
        row = Suppression.objects.all()[0]
        assert self.lift(boss, row, confirmed="1 OR 1", note="why").status_code == 400

    def test_lifting_requires_its_permission(self, staff_with: Any) -> None:
        row = Suppression.objects.all()[0]
        viewer = staff_with("view_suppression")
        self.lift(viewer, row, confirmed=str(row.pk), note="why")
        assert Suppression.objects.filter(is_active=True).count() == 3


class TestPausing:
    def add(self, client: Client, **typed: str) -> Any:
        return client.post(reverse(ADD_PAUSE), {"note": "", "_save": "Save", **typed})

    def test_a_channel_is_paused_immediately(self, boss: Client) -> None:
        assert self.add(boss, channel="email").status_code == 302
        assert Pause.objects.channel_names() == {"email"}

    def test_everything_is_not_paused_without_a_note(self, boss: Client) -> None:
        for note in ("", "  "):
            page = self.add(boss, channel="*", note=note, confirmed="yes")
            assert "Enter a reason for pausing everything." in page.content.decode()
        assert not Pause.objects.exists()

    def test_everything_is_paused_only_after_a_confirmation(self, boss: Client) -> None:
        page = self.add(boss, channel="*", note='moving "house"')
        text = page.content.decode()
        assert "<h1>Pause everything?</h1>" in text
        assert "Note: moving &quot;house&quot;" in text
        assert not Pause.objects.exists()
        fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', text))
        fields["note"] = fields["note"].replace("&quot;", '"')
        assert boss.post(reverse(ADD_PAUSE), fields).status_code == 302
        pause = Pause.objects.get()
        assert (pause.channel, pause.note) == ("*", 'moving "house"')
        assert LogEntry.objects.get().user.username == "boss"

    def test_no_channel_is_preselected(self, boss: Client) -> None:
        assert self.add(boss, channel="", note="why").status_code == 200
        assert not Pause.objects.exists()

    def test_users_without_permission_get_no_confirmation_page(self, staff_with: Any) -> None:
        assert self.add(staff_with("view_pause"), channel="*", note="why").status_code == 403

    def test_the_list_shows_everything_as_a_word(self, boss: Client) -> None:
        Pause.objects.pause("*", "moving", clock.now())
        assert ">everything</a>" in boss.get(reverse("admin:klaxon_pause_changelist")).content.decode()
