"""The page of the signed-in user: who sees which, and what it contains."""

import pytest
from django.contrib.auth.models import User

from notifications.models import Cluster, UserSettings
from tests.factories import ClusterFactory
from tests.preference_centre.conftest import PREFERENCES, choose

pytestmark = pytest.mark.django_db


def test_it_has_a_section_for_everything(browser):
    page = browser.get(PREFERENCES).content.decode()
    for section in ("choices", "schedule", "addresses", "topics", "mutes"):
        assert f'<section id="{section}"' in page
    assert 'name="events.email.order_shipped"' in page


def test_an_anonymous_user_is_asked_to_sign_in(client):
    assert client.get(PREFERENCES).url == f"/admin/login/?next={PREFERENCES}"
    assert choose(client, channels__email__="off").url.startswith("/admin/login/")


def test_get_writes_nothing(browser):
    Cluster.objects.all().delete()
    for method in (browser.get, browser.head):
        assert method(PREFERENCES).status_code == 200
    assert not Cluster.objects.exists()
    assert not UserSettings.objects.exists()


def test_it_is_not_stored_by_browsers(browser):
    assert "no-store" in browser.get(PREFERENCES).headers["Cache-Control"]


def test_it_has_neither_scripts_nor_styles_in_the_page(browser):
    page = browser.get(PREFERENCES).content.decode()
    assert "<style" not in page
    assert " style=" not in page
    assert page.count("<script") == page.count('<script src="/static/notifications/preferences.js" type="module">') == 1


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_other_methods_are_refused(method, browser):
    assert getattr(browser, method)(PREFERENCES).status_code == 405


@pytest.mark.parametrize("section", ["", "nothing"])
def test_a_form_without_a_section_is_refused(section, browser):
    assert browser.post(PREFERENCES, {"section": section}).status_code == 400


class TestClusters:
    def test_a_user_of_no_cluster_reads_that_there_is_nothing_to_choose(self, browser):
        Cluster.objects.all().delete()
        ClusterFactory()
        answer = browser.get(PREFERENCES)
        assert answer.status_code == 200
        assert "You are not a member of any group that sends notifications." in answer.content.decode()
        assert choose(browser, channels__email__="off").status_code == 404

    def test_a_member_of_several_chooses_one(self, browser, ann):
        first, second = ClusterFactory(name="Elm Road", members=[ann]), ClusterFactory(name="Oak Road", members=[ann])
        page = browser.get(PREFERENCES).content.decode()
        assert f'href="?cluster={first.pk}" aria-current="page"' in page
        assert f'href="?cluster={second.pk}"' in page
        choose(browser, f"{PREFERENCES}?cluster={second.pk}", channels__email__="off")
        assert UserSettings.objects.get().cluster == second

    @pytest.mark.parametrize("key", ["999", "abc", "-1", "99999999999999999999999"])
    def test_a_cluster_that_does_not_exist_is_not_found(self, key, browser):
        assert browser.get(f"{PREFERENCES}?cluster={key}").status_code == 404

    def test_a_cluster_of_others_is_not_found(self, browser):
        foreign = ClusterFactory()
        path = f"{PREFERENCES}?cluster={foreign.pk}"
        assert browser.get(path).status_code == 404
        assert choose(browser, path, channels__email__="off").status_code == 404
        assert not UserSettings.objects.exists()

    def test_members_of_a_site_are_asked_for_each_cluster(self, browser, ann, settings):
        settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "MEMBERS_OF": f"{__name__}.members_of"}
        ClusterFactory(name="Elm Road", slug="elm")
        mine = ClusterFactory(name="Oak Road", slug="oak")
        page = browser.get(PREFERENCES)
        assert page.status_code == 200
        choose(browser, channels__email__="off")
        assert UserSettings.objects.get().cluster == mine


def members_of(cluster):
    return User.objects.filter(username="ann") if cluster.slug == "oak" else User.objects.none()
