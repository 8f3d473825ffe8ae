"""The page of analytics in the admin, and its files."""

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import translation

from notifications.core import clock
from notifications.models import Cluster, Figure
from notifications.monitoring.analytics.report import CHART_KEYS
from notifications.monitoring.analytics.window import CHOICES
from tests.monitoring.analytics_data import add_run, fill_figures

pytestmark = pytest.mark.django_db
NOW = datetime(2030, 5, 8, 15, 20, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _time():
    with clock.override(lambda: NOW):
        yield


@pytest.fixture
def boss():
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


@pytest.fixture
def filled():
    cluster = Cluster.objects.default()
    fill_figures(cluster, NOW, days=2, minutes=15)
    return cluster


def get_page(client, **query):
    response = client.get(reverse("admin:klaxon_analytics", query=query))
    assert response.status_code == 200
    return response


def get_csv(client, key, **query):
    response = client.get(reverse("admin:klaxon_analytics_csv", args=[key], query=query))
    assert response.status_code == 200
    return list(csv.reader(io.StringIO(response.content.decode("utf-8-sig"))))


def find_drawings(response):
    return re.findall(r'<svg class="klaxon-plot[^>]*>.*?</svg>(?=\s)', response.content.decode(), re.DOTALL)


class TestPage:
    def test_every_chart_is_an_image_with_a_name_a_description_and_a_table(self, boss, filled):
        for window, _label in CHOICES:
            response = get_page(boss, window=window)
            drawings = find_drawings(response)
            assert len(drawings) == len(CHART_KEYS)
            for key, drawing in zip(CHART_KEYS, drawings, strict=True):
                root = ElementTree.fromstring(drawing)
                assert root.get("role") == "img"
                assert root.get("aria-labelledby") == f"{key}-title"
                assert root.find("title").text
                assert root.find("desc").text
            charts = {chart.key: chart for chart in response.context["charts"]}
            assert tuple(charts) == CHART_KEYS
            assert all(chart.table.rows for chart in charts.values())
            assert all(len(row) == len(chart.table.headings) for chart in charts.values() for row in chart.table.rows)

    def test_a_strict_policy_forbids_nothing_of_it(self, boss, filled):
        content = get_page(boss).content.decode().partition('<div class="klaxon-charts">')[2]
        assert not re.search(r"\sstyle=|<style|<script|\son\w+=", content.partition("</main>")[0])

    def test_numbers_in_attributes_are_not_localized(self, boss, filled):
        boss.cookies["django_language"] = "de"
        with translation.override("de"):
            drawings = find_drawings(get_page(boss))
        attributes = [value for drawing in drawings for value in re.findall(r' (?:x|y|r|cy|width)="([^"]+)"', drawing)]
        assert attributes
        assert all(re.fullmatch(r"-?\d+(\.\d+)?%?", value) for value in attributes)

    def test_the_number_of_queries_depends_on_nothing(self, boss, filled):
        get_page(boss)
        with CaptureQueriesContext(
            connection,
        ) as few:
            get_page(boss, window="24h")
        add_run(filled, NOW - timedelta(days=20), 30)
        with CaptureQueriesContext(connection) as many:
            get_page(boss, window="90d", cluster=str(filled.pk))
        assert len(few) == len(many)
        assert not [query for query in many if "notificationlog" in query["sql"].lower()]

    def test_without_figures_it_says_so(self, boss):
        response = get_page(boss)
        assert find_drawings(response) == []
        assert response.content.decode().count("There are no figures of this time.") == len(CHART_KEYS)

    def test_only_the_chosen_cluster_is_counted(self, boss, filled):
        other = Cluster.objects.create(name="Another")
        charts = {chart.key: chart for chart in get_page(boss, cluster=str(other.pk)).context["charts"]}
        assert all(not charts[key].drawing for key in CHART_KEYS if key not in ("depth", "availability"))
        assert charts["depth"].note.endswith("Of all clusters.")

    @pytest.mark.parametrize(
        "query", [{"window": "1y"}, {"cluster": "none"}, {"cluster": "9" * 30}, {"cluster": "1\0"}]
    )
    def test_a_wrong_choice_is_explained(self, boss, query):
        response = get_page(boss, **query)
        assert response.context["form"].errors
        assert response.context["charts"] == []

    def test_the_list_of_figures_leads_to_it(self, boss):
        assert boss.get(reverse("admin:klaxon_figure_changelist")).url == reverse("admin:klaxon_analytics")

    @pytest.mark.parametrize("name", ["page", "file"])
    def test_it_needs_the_permission_to_view_figures(self, name):
        clerk = User.objects.create_user("clerk", is_staff=True)
        client = Client()
        client.force_login(clerk)
        url = reverse("admin:klaxon_analytics")
        if name == "file":
            url = reverse("admin:klaxon_analytics_csv", args=["depth"])
        assert client.get(url).status_code == 403
        clerk.user_permissions.add(Permission.objects.get(codename="view_figure"))
        assert client.get(url).status_code == 200
        assert Client().get(url).status_code == 302


class TestFiles:
    def test_each_chart_has_a_file_with_the_values_of_its_table(self, boss, filled):
        for chart in get_page(boss, window="7d").context["charts"]:
            rows = get_csv(boss, chart.key, window="7d")
            assert rows[0] == [str(heading) for heading in chart.table.headings]
            assert len(rows) == len(chart.table.rows) + 1

    def test_numbers_and_times_are_written_for_programs(self, boss, filled):
        rows = get_csv(boss, "attempts", window="7d")
        assert rows[-1][0] == "2030-05-08"
        assert all(row[1].isdecimal() for row in rows[1:])

    @pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@sum", "\t=1"])
    def test_no_cell_is_a_formula(self, boss, name):
        key = {"hour": NOW.replace(minute=0), "channel": name, "band": "low", "kind": "attempt", "outcome": "sent"}
        Figure.objects.create(count=1, **key)
        assert get_csv(boss, "success")[1][0] == f"'{name}"

    @pytest.mark.parametrize("url", ["unknown.csv", "depth.csv?window=1y"])
    def test_there_is_no_file_of_anything_else(self, boss, url):
        assert boss.get(f"{reverse('admin:klaxon_analytics')}{url}").status_code == 404
