"""Preferences of users: JSON that a person can read, and cannot get wrong unnoticed."""

from datetime import time
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from notifications.models import Cluster, UserSettings
from tests.admin.conftest import customers

ADD = "admin:klaxon_usersettings_add"
JSON_FIELDS = ("channels", "events", "categories", "addresses")


def save(client: Client, cluster: Cluster, **typed: str) -> Any:
    [user] = customers(1)
    chosen = {"digest": "none", "digest_hour": "8", "digest_day": "0"}
    data = {"user": user.pk, "cluster": cluster.pk, **chosen, **typed}
    return client.post(reverse(ADD), data)


def test_empty_fields_mean_no_choices(boss: Client, cluster: Cluster) -> None:
    assert save(boss, cluster).status_code == 302
    row = UserSettings.objects.get()
    assert [getattr(row, name) for name in JSON_FIELDS] == [{}, {}, {}, {}]


def test_choices_are_saved_in_canonical_spelling_and_shown_on_lines(boss: Client, cluster: Cluster) -> None:
    save(boss, cluster, channels='{"EMAIL": false}', events='{"order_shipped": {"App": true}}')
    row = UserSettings.objects.get()
    assert (row.channels, row.events) == ({"email": False}, {"order_shipped": {"app": True}})
    page = boss.get(reverse("admin:klaxon_usersettings_change", args=[row.pk]))
    assert "{\n  &quot;email&quot;: false\n}" in page.content.decode()


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("channels", '["email"]'),
        ("channels", '{"email": "no"}'),
        ("channels", "{email: false}"),
        ("events", '{"order_shipped": {"email": "off"}}'),
        ("categories", '{"news": 0}'),
        ("addresses", '{"email": 7}'),
    ],
)
def test_an_invalid_form_is_refused_and_keeps_its_input(field: str, text: str, boss: Client, cluster: Cluster) -> None:
    page = save(boss, cluster, **{field: text})
    assert field in page.context["errors"].as_text() or page.context["adminform"].form.errors[field]
    assert not UserSettings.objects.exists()


def test_the_list_shows_disabled_channels(boss: Client, cluster: Cluster) -> None:
    save(boss, cluster, channels='{"email": false}')
    page = boss.get(reverse("admin:klaxon_usersettings_changelist")).content.decode()
    assert '<td class="field-disabled_channels">email</td>' in page


def test_an_unknown_channel_is_refused_with_its_name(boss: Client, cluster: Cluster) -> None:
    page = save(boss, cluster, channels='{"emial": false}')
    assert "There is no channel emial." in page.content.decode()
    assert not UserSettings.objects.exists()


def test_a_digest_can_be_chosen(boss: Client, cluster: Cluster) -> None:
    save(boss, cluster, digest="weekly", digest_hour="17", digest_day="4")
    row = UserSettings.objects.get()
    assert (row.digest, row.digest_hour, row.digest_day) == ("weekly", 17, 4)


class TestHours:
    NIGHT = {"quiet_from": "22:00", "quiet_until": "07:00"}

    def test_they_are_saved(self, boss: Client, cluster: Cluster) -> None:
        windows = '{"EMAIL": [["08:00", "12:00"], ["14:00", "18:00", ["mon"]]]}'
        assert save(boss, cluster, **self.NIGHT, delivery_windows=windows).status_code == 302
        row = UserSettings.objects.get()
        assert (row.quiet_from, row.quiet_until) == (time(22), time(7))
        assert row.delivery_windows == {"email": [["08:00", "12:00"], ["14:00", "18:00", ["mon"]]]}

    @pytest.mark.parametrize(
        ("typed", "words"),
        [
            ({"delivery_windows": '{"email": [["8", "12:00"]]}'}, "in the form of this example"),
            ({"delivery_windows": '{"email": "mornings"}'}, "in the form of this example"),
            ({"delivery_windows": '[["08:00", "12:00"]]'}, "in the form of this example"),
            ({"delivery_windows": '{"emial": [["08:00", "12:00"]]}'}, "no channel emial"),
            ({"quiet_from": "22:00"}, "both a beginning and an end"),
            ({"quiet_from": "00:00", "quiet_until": "23:55"}, "less than 15 minutes"),
            ({**NIGHT, "delivery_windows": '{"email": [["23:00", "05:00"]]}'}, "no delivery window of email"),
        ],
    )
    def test_invalid_hours_are_refused(self, typed: dict[str, str], words: str, boss: Client, cluster: Cluster) -> None:
        assert words in save(boss, cluster, **typed).content.decode()
        assert not UserSettings.objects.exists()
