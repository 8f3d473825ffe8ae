"""Preferences of users in the admin: the widgets of the preference centre, which nobody can get wrong unnoticed."""

from collections.abc import Callable
from datetime import time
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from notifications.models import Cluster, SharedPreference, UserSettings
from notifications.preference_centre.widgets.choices import MAX_ROWS
from tests.admin.conftest import customers

ADD = "admin:klaxon_usersettings_add"
COLUMNS = ("channels", "events", "categories", "addresses", "delivery_windows")


def save(client: Client, cluster: Cluster, **typed: Any) -> Any:
    [user] = customers(1)
    chosen = {"digest": "none", "digest_hour": "8", "digest_day": "0"}
    data = {"user": user.pk, "cluster": cluster.pk, **chosen, **typed}
    return client.post(reverse(ADD), data)


def change(client: Client, row: UserSettings, **typed: Any) -> Any:
    data = {"user": row.user_id, "cluster": row.cluster_id, "digest": "none", "digest_hour": "8", "digest_day": "0"}
    return client.post(reverse("admin:klaxon_usersettings_change", args=[row.pk]), {**data, **typed})


def show(client: Client, row: UserSettings) -> str:
    page: str = client.get(reverse("admin:klaxon_usersettings_change", args=[row.pk])).content.decode()
    return page


def test_empty_fields_mean_no_choices(boss: Client, cluster: Cluster) -> None:
    assert save(boss, cluster).status_code == 302
    row = UserSettings.objects.get()
    assert [getattr(row, name) for name in COLUMNS] == [{}, {}, {}, {}, {}]


def test_the_page_has_no_json(boss: Client, cluster: Cluster) -> None:
    row = UserSettings(
        user=customers(1)[0],
        cluster=cluster,
        channels={"email": False},
        events={"order_shipped": {"app": True}},
        categories={"orders": False},
        addresses={"email": "ann@example.com"},
        delivery_windows={"email": [["08:00", "12:00"]]},
    )
    row.save()
    page = show(boss, row)
    assert "<textarea" not in page
    for field in (
        'name="channels-0:email"',
        '<input type="hidden" name="events-0-key" value="order_shipped">',
        '<input type="hidden" name="categories-0-key" value="orders">',
        '<input type="email" name="addresses:email" value="ann@example.com"',
        '<input type="time" name="delivery_windows-0-start" value="08:00">',
    ):
        assert field in page


def test_choices_are_saved(boss: Client, cluster: Cluster) -> None:
    cells = {
        **{"channels-0:email": "off", "channels-0:app": "inherit"},
        **{"events-0-key": "order_shipped", "events-0:app": "on", "events-1-key": "", "events-1:app": "off"},
        **{"categories-0-key": "orders", "categories-0:*": "off"},
    }
    assert save(boss, cluster, **cells).status_code == 302
    row = UserSettings.objects.get()
    assert (row.channels, row.events) == ({"email": False}, {"order_shipped": {"app": True}})
    assert row.categories == {"orders": {"*": False}}


def test_a_row_without_a_choice_is_removed_and_others_stay(boss: Client, cluster: Cluster) -> None:
    row = UserSettings(user=customers(1)[0], cluster=cluster, events={"order_shipped": False, "shop_newsletter": False})
    row.save()
    cells = {"events-0-key": "order_shipped", "events-0:app": "inherit", "events-0:*": "inherit"}
    assert change(boss, row, **cells).status_code == 302
    row.refresh_from_db()
    assert row.events == {"shop_newsletter": False}


def test_a_long_list_of_choices_is_cut_off_and_kept(boss: Client, cluster: Cluster) -> None:
    names = [f"removed_{number}" for number in range(MAX_ROWS + 5)]
    row = UserSettings(user=customers(1)[0], cluster=cluster, events=dict.fromkeys(names, False))
    row.save()
    assert "5 more rows are not shown" in show(boss, row)
    cells = {"events-0-key": names[0], "events-0:*": "on"}
    assert change(boss, row, **cells).status_code == 302
    row.refresh_from_db()
    assert len(row.events) == len(names)
    assert row.events[names[0]] == {"*": True}


def test_an_unchanged_page_changes_nothing(boss: Client, cluster: Cluster) -> None:
    stored = {"events": {"removed": True, "order_shipped": {"fax": False}}, "addresses": {"fax": "+4915112345678"}}
    row = UserSettings(user=customers(1)[0], cluster=cluster, language="de_AT", **stored)
    row.save()
    page = boss.get(reverse("admin:klaxon_usersettings_change", args=[row.pk]))
    assert change(boss, row, **read_fields(page)).status_code == 302
    row.refresh_from_db()
    assert row.events == {"removed": {"*": True}, "order_shipped": {"fax": False}}
    assert (row.addresses, row.language) == ({"fax": "+4915112345678"}, "de_AT")


def read_fields(page: Any) -> dict[str, str]:
    """Return the fields of the form as a browser sends them."""
    form, found = page.context["adminform"].form, {"language": page.context["adminform"].form.initial["language"]}
    for name in ("channels", "events", "categories"):
        widget = form.fields[name].widget.get_context(name, form.initial[name], {})["widget"]
        for row in widget["rows"]:
            found[row.name] = row.key
            found.update({cell.name: str(cell.choice) for cell in row.cells})
    widget = form.fields["addresses"].widget.get_context("addresses", form.initial["addresses"], {})["widget"]
    return {**found, **{row.name: row.address for row in widget["rows"]}}


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"channels-0:emial": "off"}, "There is no channel emial."),
        ({"events-0-key": "order_shiped", "events-0:email": "off"}, "Did you mean order_shipped?"),
        ({"categories-0-key": "ordrs", "categories-0:email": "off"}, "Did you mean orders?"),
        ({"addresses:email": "nobody"}, "is not a usable address"),
        ({"addresses:app": "ann@example.com"}, "does not use an address"),
        ({"time_zone": "Europe/Berln"}, "Did you mean Europe/Berlin?"),
    ],
)
def test_unknown_names_and_unusable_addresses_are_refused(
    typed: dict[str, str], words: str, boss: Client, cluster: Cluster
) -> None:
    assert words in save(boss, cluster, **typed).content.decode()
    assert not UserSettings.objects.exists()


def test_the_list_shows_disabled_channels(boss: Client, cluster: Cluster) -> None:
    save(boss, cluster, **{"channels-0:email": "off"})
    page = boss.get(reverse("admin:klaxon_usersettings_changelist")).content.decode()
    assert '<td class="field-disabled_channels">email</td>' in page


def test_a_digest_can_be_chosen(boss: Client, cluster: Cluster) -> None:
    save(boss, cluster, digest="weekly", digest_hour="17", digest_day="4")
    row = UserSettings.objects.get()
    assert (row.digest, row.digest_hour, row.digest_day) == ("weekly", 17, 4)


def test_the_defaults_of_a_cluster_have_the_same_widgets(boss: Client, cluster: Cluster) -> None:
    page = boss.get(reverse("admin:klaxon_sharedpreference_add")).content.decode()
    assert 'name="channels-0:email"' in page
    assert "<textarea" not in page
    data = {"cluster": cluster.pk, "rank": "0", "channels-0:email": "off"}
    assert boss.post(reverse("admin:klaxon_sharedpreference_add"), data).status_code == 302
    assert SharedPreference.objects.get().channels == {"email": False}


PAGES_WITH_A_USER = ("usersettings", "mute", "topicsubscription")


@pytest.mark.parametrize("model", PAGES_WITH_A_USER)
def test_users_and_clusters_are_found_by_autocompletion(model: str, boss: Client) -> None:
    page = boss.get(reverse(f"admin:klaxon_{model}_add")).content.decode()
    for name in ("user", "cluster"):
        assert f'data-field-name="{name}"' in page
    source = {"app_label": "klaxon", "model_name": model, "field_name": "user", "term": "bos"}
    found = boss.get(reverse("admin:autocomplete"), source).json()
    assert [user["text"] for user in found["results"]] == ["boss"]


@pytest.mark.parametrize("model", PAGES_WITH_A_USER)
def test_staff_who_may_not_view_users_enter_their_key(model: str, staff_with: Callable[..., Client]) -> None:
    page = staff_with(f"add_{model}").get(reverse(f"admin:klaxon_{model}_add")).content.decode()
    assert "data-field-name" not in page
    assert 'class="vForeignKeyRawIdAdminField"' in page


def test_a_site_whose_users_have_no_admin_enters_their_key(boss: Client) -> None:
    registered = admin.site._registry.pop(User)
    try:
        page = boss.get(reverse(ADD)).content.decode()
    finally:
        admin.site._registry[User] = registered
    assert 'data-field-name="user"' not in page
    assert 'data-field-name="cluster"' in page


class TestHours:
    NIGHT = {"quiet_from": "22:00", "quiet_until": "07:00"}

    def window(self, start: str, end: str, at: int = 0, channel: str = "email", *days: str) -> dict[str, Any]:
        values = {"channel": channel, "start": start, "end": end, "days": days}
        return {f"delivery_windows-{at}-{name}": value for name, value in values.items()}

    def test_they_are_saved(self, boss: Client, cluster: Cluster) -> None:
        windows = {**self.window("08:00", "12:00"), **self.window("14:00", "18:00", 1, "email", "mon")}
        assert save(boss, cluster, **self.NIGHT, **windows).status_code == 302
        row = UserSettings.objects.get()
        assert (row.quiet_from, row.quiet_until) == (time(22), time(7))
        assert row.delivery_windows == {"email": [["08:00", "12:00"], ["14:00", "18:00", ["mon"]]]}

    @pytest.mark.parametrize(
        ("window", "typed", "words"),
        [
            (("8", "12:00"), {}, "in the form of this example"),
            (("08:00", ""), {}, "both a beginning and an end"),
            (("08:00", "12:00", 0, "emial"), {}, "no channel emial"),
            (("08:00", "12:00", 0, "email", "someday"), {}, ""),
            ((), {"quiet_from": "22:00"}, "both a beginning and an end"),
            ((), {"quiet_from": "00:00", "quiet_until": "23:55"}, "less than 15 minutes"),
            (("23:00", "05:00"), NIGHT, "no delivery window of email"),
        ],
    )
    def test_invalid_hours_are_refused(
        self, window: Any, typed: dict[str, str], words: str, boss: Client, cluster: Cluster
    ) -> None:
        response = save(boss, cluster, **typed, **(self.window(*window) if window else {}))
        assert words in response.content.decode()
        if words:
            assert not UserSettings.objects.exists()
