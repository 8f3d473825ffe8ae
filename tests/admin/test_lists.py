"""The layout of lists: all columns are visible, and all times have the same format."""

import html
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from notifications.events import NOTIFICATION_EVENTS
from notifications.models import (
    Alarm,
    Bucket,
    Circuit,
    Cluster,
    Delivery,
    Heartbeat,
    Notification,
    NotificationLog,
    Pause,
)
from notifications.outcomes import Reason
from tests.admin.conftest import customers, send
from tests.admin.test_pages import SHOWN, create_rows_of_every_model, list_url, page_url

WIDTH = 1280
TIME = datetime(2026, 3, 4, 15, 6, tzinfo=UTC)
HEADINGS: dict[Any, list[str]] = {
    Delivery: ["Recipient", "Explanation", "Attempts", "Timeline", "Worker"],
    NotificationLog: ["Recipient", "Outcome", "Related"],
}
LONG = "an_event_whose_name_is_longer_than_names_of_events_should_be"


def links(text: str) -> list[str]:
    return re.findall(r'<a href="(\?[^"]*)"', text)


@pytest.mark.parametrize("parameter", ["event", "reason", "channel", "cluster"])
def test_a_filter_with_many_choices_is_a_box(parameter: str, boss: Client, cluster: Cluster) -> None:
    text = boss.get(list_url(NotificationLog)).content.decode()
    assert f'name="{parameter}"' in text
    assert not [link for link in links(text) if f"{parameter}=" in link]


def test_every_event_and_reason_is_a_choice(boss: Client, cluster: Cluster) -> None:
    text = boss.get(list_url(NotificationLog)).content.decode()
    for value in (*(event.name for event in NOTIFICATION_EVENTS.values()), *Reason.values):
        assert f'<option value="{value}">' in text


def test_a_box_keeps_the_search_and_the_other_filters(boss: Client, cluster: Cluster) -> None:
    text = boss.get(list_url(NotificationLog, q="ann", kind__exact="drop", event="order_shipped", p=1)).content.decode()
    [form] = [part for part in re.findall(r"<form method=\"get\">.*?</form>", text, re.S) if "<datalist" in part]
    assert dict(re.findall(r'type="hidden" name="(\w+)" value="(\w+)"', form)) == {"q": "ann", "kind__exact": "drop"}
    assert 'value="order_shipped" list=' in form
    [clear] = links(form)
    assert set(html.unescape(clear).strip("?").split("&")) == {"q=ann", "kind__exact=drop"}


def test_a_selected_value_that_is_not_a_choice_is_shown(boss: Client, cluster: Cluster) -> None:
    text = boss.get(list_url(NotificationLog, event="no_longer_registered", cluster="1234")).content.decode()
    assert "Event: <b>no_longer_registered</b>" in text
    assert '<option value="1234" selected>1234</option>' in text


def test_filters_are_before_the_list_in_the_tab_order(boss: Client, cluster: Cluster) -> None:
    create_rows_of_every_model(1, cluster)
    for model in (Notification, Delivery, NotificationLog):
        text = boss.get(list_url(model)).content.decode()
        assert text.index("klaxon-filters") < text.index('id="result_list"')
        assert "changelist-filter" not in text


def test_all_times_have_the_same_format(boss: Client, cluster: Cluster) -> None:
    number = send(customers(1))
    Notification.objects.update(created_at=TIME)
    Delivery.objects.update(settled_at=TIME)
    # Written to the table directly, because the log cannot be changed.
    row = Delivery.objects.filter(channel="email").get()
    for url in (list_url(Notification), page_url(Notification, number), list_url(Delivery), page_url(Delivery, row.pk)):
        assert "March 4, 2026, 3:06 p.m." in boss.get(url).content.decode()
    history = boss.get(page_url(Delivery, row.pk)).content.decode().split("klaxon-history")[1]
    entry = NotificationLog.objects.filter(delivery=row).get()
    shown = re.search(r"field-sent_at.*?<a[^>]*>(.*?)</a>", boss.get(list_url(NotificationLog)).content.decode())
    assert shown
    assert f"{entry.sent_at:%Y}," in shown[1]
    assert shown[1] in history


def test_headings_are_plain_words(boss: Client, cluster: Cluster) -> None:
    send(customers(1))
    for model, headings in HEADINGS.items():
        text = boss.get(page_url(model, model.objects.earliest("pk").pk)).content.decode()
        assert re.findall(r"<h2[^>]*fieldset-heading[^>]*>\s*(.*?)\s*</h2>", text) == headings


@pytest.mark.needs_program("chromium")
def test_no_column_is_cut_off_in_a_narrow_window(boss: Client, cluster: Cluster, tmp_path: Path) -> None:
    create_rows_of_every_model(2, cluster)
    Notification.objects.update(event=LONG)
    Delivery.objects.update(state="dead", reason=Reason.LOST_CONTACT, attempts=3)
    Bucket.objects.create(key="k" * 300, full_at=TIME, seen_at=TIME, promised_at=TIME)
    Circuit.objects.create(key="k" * 160, error="e" * 300, opened_at=TIME, open_until=TIME)
    Alarm.objects.create(cause="c" * 100, detail="d" * 500, remedy="r" * 500, bad_since=TIME, degraded_at=TIME)
    Heartbeat.objects.create(owner="o" * 100, host="h" * 255, pid=1, started_at=TIME, beat_at=TIME)
    Pause.objects.create(channel="c" * 50, note="n" * 200, since=TIME)
    Cluster.objects.create(name="n" * 200, slug="s" * 100)
    page = tmp_path / "lists.html"
    page.write_text(PAGE % "\n".join(_render_frame(boss, model) for model in SHOWN))
    found = _render_in_browser(page, tmp_path)
    widths = re.findall(r"<li>(\w+) (\d+) (\d+)</li>", found)
    assert len(widths) == len(SHOWN)
    assert [row for row in widths if int(row[1]) > int(row[2])] == []


PAGE = """<!DOCTYPE html><meta charset="utf-8"><body>%s<ul id="widths"></ul><script>
onload = () => {
  for (const frame of document.querySelectorAll("iframe")) {
    const list = frame.contentDocument.querySelector(".results"), item = document.createElement("li");
    item.textContent = `${frame.title} ${list.scrollWidth} ${list.clientWidth}`;
    document.getElementById("widths").append(item);
  }
};
</script>"""


def _render_frame(client: Client, model: Any) -> str:
    """Return the list as a self-contained frame, in a window with the admin's navigation open."""
    text = client.get(list_url(model)).content.decode()
    text = re.sub(r"<script.*?</script>", "", text, flags=re.S)
    text = re.sub(r'<link[^>]*href="/static/([^"]+\.css)"[^>]*>', _style, text)
    text = text.replace('class="main"', 'class="main shifted"')
    return f'<iframe title="{model.__name__}" width="{WIDTH}" height="900" srcdoc="{html.escape(text)}"></iframe>'


def _style(link: re.Match[str]) -> str:
    return f"<style>{Path(str(finders.find(link[1]))).read_text()}</style>"


def _render_in_browser(page: Path, profile: Path) -> str:
    """Return the document of a page after its scripts have run."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command = ["chromium", *options, f"--user-data-dir={profile}/profile", "--dump-dom", page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout  # noqa: S603 - our own page
