"""The page of a cluster: members are added and removed one by one, with concurrent changes and many members."""

from typing import Any

import pytest
from django.contrib.admin import site
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from notifications.admin.members import MEMBERS_SHOWN
from notifications.models import Cluster
from tests.admin.conftest import customers


@pytest.fixture
def estate(db: None) -> Cluster:
    return Cluster.objects.create(name="Estate", slug="estate")


def url(estate: Cluster, **query: Any) -> str:
    return reverse("admin:klaxon_cluster_change", args=[estate.pk], query=query or None)


def save(client: Client, estate: Cluster, **typed: Any) -> Any:
    return client.post(url(estate), {"name": estate.name, "slug": estate.slug, **typed})


def list_names(estate: Cluster) -> list[str]:
    return sorted(estate.members.values_list("username", flat=True))


def list_members(client: Client, estate: Cluster, **query: Any) -> list[str]:
    return [str(user) for user, _link in client.get(url(estate, **query)).context["users"]]


def test_saving_keeps_members_that_were_added_in_the_meantime(boss: Client, estate: Cluster) -> None:
    ann, bob, carl = customers(3)
    estate.members.add(ann)
    boss.get(url(estate))
    estate.members.add(bob)
    assert save(boss, estate, name="New name", new_members=[carl.pk]).status_code == 302
    assert list_names(estate) == ["ann0", "ann1", "ann2"]
    assert Cluster.objects.get(pk=estate.pk).name == "New name"


def test_members_are_removed_one_by_one(boss: Client, estate: Cluster) -> None:
    ann, bob, carl = customers(3)
    estate.members.add(ann, bob)
    save(boss, estate, removed_members=[bob.pk, carl.pk])
    assert list_names(estate) == ["ann0"]


def test_members_that_were_changed_in_the_meantime_cause_no_error(boss: Client, estate: Cluster) -> None:
    ann, bob = customers(2)
    estate.members.add(ann)
    gone = User.objects.create(username="gone")
    key = gone.pk
    gone.delete()
    assert save(boss, estate, new_members=[ann.pk], removed_members=[bob.pk, key]).status_code == 302
    assert list_names(estate) == ["ann0"]


def test_a_new_cluster_can_be_given_members(boss: Client) -> None:
    ann, bob = customers(2)
    typed = {"name": "New", "slug": "new", "new_members": [ann.pk, bob.pk]}
    assert boss.post(reverse("admin:klaxon_cluster_add"), typed).status_code == 302
    assert list_names(Cluster.objects.get(slug="new")) == ["ann0", "ann1"]


def test_the_history_names_added_and_removed_members(boss: Client, estate: Cluster) -> None:
    ann, bob = customers(2)
    estate.members.add(bob)
    save(boss, estate, new_members=[ann.pk], removed_members=[bob.pk])
    assert LogEntry.objects.get().get_change_message() == "Added member “ann0”. Deleted member “ann1”."


def test_errors_are_shown_and_selections_are_kept(boss: Client, estate: Cluster) -> None:
    ann, bob = customers(2)
    estate.members.add(bob)
    page = save(boss, estate, name="", new_members=[ann.pk], removed_members=[bob.pk]).content.decode()
    assert f'<option value="{ann.pk}" selected>ann0</option>' in page
    assert f'value="{bob.pk}" checked' in page
    assert save(boss, estate, removed_members=["x"]).status_code == 200
    assert list_names(estate) == ["ann1"]


def test_a_page_needs_as_many_queries_for_many_members_as_for_two(boss: Client, estate: Cluster) -> None:
    estate.members.add(*customers(2))
    boss.get(url(estate))
    with CaptureQueriesContext(connection) as for_two:
        boss.get(url(estate))
    estate.members.add(*customers(3 * MEMBERS_SHOWN, "bob"))
    for number in (1, 2, 4):
        with CaptureQueriesContext(connection) as for_many:
            page = boss.get(url(estate, p=number))
        assert len(for_many) == len(for_two)
        assert len(page.context["users"]) <= MEMBERS_SHOWN
        assert page.content.decode().count('name="removed_members"') == len(page.context["users"])


def test_deleting_counts_the_members_and_lists_only_some(boss: Client, estate: Cluster) -> None:
    estate.members.add(*customers(200))
    url = reverse("admin:klaxon_cluster_delete", args=[estate.pk])
    page = boss.get(url)
    assert 200 in dict(page.context["model_count"]).values()
    assert page.content.decode().count("Cluster-user relationship:") <= 50
    assert boss.post(url, {"post": "yes"}).status_code == 302
    assert not Cluster.objects.filter(pk=estate.pk).exists()


def test_pages_contain_every_member_once_the_latest_first(boss: Client, estate: Cluster) -> None:
    estate.members.add(*customers(MEMBERS_SHOWN + 10))
    pages = [list_members(boss, estate, p=number) for number in (1, 2)]
    assert sorted(pages[0] + pages[1]) == list_names(estate)
    assert [len(page) for page in pages] == [MEMBERS_SHOWN, 10]
    assert list_members(boss, estate, p="nonsense") == pages[0]


def test_a_member_is_found_by_name_address_and_key(boss: Client, estate: Cluster) -> None:
    ann, bob, carl = customers(3)
    estate.members.add(ann, bob)
    for typed in (bob.username, bob.email, f"u:{bob.pk}"):
        assert list_members(boss, estate, member=typed) == ["ann1"]
    for typed in (carl.username, "nobody", "\0", "u:x"):
        assert list_members(boss, estate, member=typed) == []


def test_autocomplete_uses_the_search_of_the_user_admin(boss: Client, estate: Cluster) -> None:
    customers(3)
    assert "admin-autocomplete" in boss.get(url(estate)).content.decode()
    query = {"term": "ann1", "app_label": "klaxon", "model_name": "cluster", "field_name": "members"}
    found = boss.get(reverse("admin:autocomplete", query=query)).json()["results"]
    assert [row["text"] for row in found] == ["ann1"]


def test_users_without_permission_to_view_users_enter_keys(staff_with: Any, estate: Cluster) -> None:
    ann, bob = customers(2)
    clerk = staff_with("change_cluster")
    text = clerk.get(url(estate)).content.decode()
    assert "admin-autocomplete" not in text
    assert save(clerk, estate, new_members=f"{ann.pk},{bob.pk}").status_code == 302
    assert list_names(estate) == ["ann0", "ann1"]


def test_everyone_enters_keys_if_the_user_admin_cannot_search(
    boss: Client, estate: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site.get_model_admin(User), "search_fields", ())
    assert "admin-autocomplete" not in boss.get(url(estate)).content.decode()
    site.unregister(User)
    try:
        assert "admin-autocomplete" not in boss.get(url(estate)).content.decode()
    finally:
        site.register(User, UserAdmin)


def test_users_with_only_the_view_permission_see_no_checkboxes(staff_with: Any, estate: Cluster) -> None:
    [ann] = customers(1)
    estate.members.add(ann)
    clerk = staff_with("view_cluster")
    text = clerk.get(url(estate)).content.decode()
    assert "ann0" in text
    assert "_members" not in text
    assert save(clerk, estate, removed_members=[ann.pk]).status_code == 403
