"""Keys in the admin and on the command line, and the check of the API."""

import re
from io import StringIO

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.test import Client

from notifications.checks.api import check_api
from notifications.core import extras
from notifications.models import APIKey, Cluster
from tests.api.conftest import Api

pytestmark = pytest.mark.needs("ninja")
TOKEN = re.compile(r"klx_[0-9a-f]{12}_[A-Za-z0-9_-]{43}")
FORM = {"name": "script", "scopes": ["inbox:read"], "all_clusters": "on", "expires_at_0": "", "expires_at_1": ""}
ADD, LIST = "/admin/klaxon/apikey/add/", "/admin/klaxon/apikey/"


@pytest.fixture
def admin_site(settings):
    settings.ROOT_URLCONF = "tests.api.urls_with_admin"


def sign_in(user):
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def clerk(db):
    user = User.objects.create_user("clerk", is_staff=True)
    names = ["add_apikey", "view_apikey", "change_apikey"]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    return user


def test_the_admin_shows_a_new_key_once(admin_site, clerk):
    browser = sign_in(clerk)
    page = browser.post(ADD, {**FORM, "user": clerk.pk})
    [token] = TOKEN.findall(page.content.decode())
    assert "no-store" in page.headers["Cache-Control"]
    assert Api(token=token).get("inbox").status_code == 200
    row = APIKey.objects.get()
    for path in (LIST, f"{LIST}{row.pk}/change/", f"{LIST}{row.pk}/history/"):
        shown = browser.get(path).content.decode()
        assert token[17:] not in shown
        assert row.token_hash not in shown
    assert token[17:] not in "".join(map(str, [*LogEntry.objects.values(), *Session.objects.values()]))


def test_only_a_superuser_creates_keys_for_others(admin_site, clerk):
    boss = User.objects.create_superuser("boss")
    assert "errorlist" in sign_in(clerk).post(ADD, {**FORM, "user": boss.pk}).content.decode()
    assert not APIKey.objects.exists()
    assert TOKEN.search(sign_in(boss).post(ADD, {**FORM, "user": clerk.pk}).content.decode())
    assert APIKey.objects.get().user == clerk


def test_a_key_of_the_admin_is_limited_to_its_clusters(admin_site, clerk, foreign):
    browser = sign_in(clerk)
    form = {**FORM, "user": clerk.pk, "all_clusters": ""}
    assert "errorlist" in browser.post(ADD, form).content.decode()
    browser.post(ADD, {**form, "clusters": str(foreign.pk)})
    assert APIKey.objects.get().list_cluster_keys() == {foreign.pk}


def test_a_key_is_revoked_in_the_admin_and_cannot_be_changed(admin_site, clerk, issue):
    token, browser = issue(clerk), sign_in(clerk)
    row = APIKey.objects.get()
    browser.post(LIST, {"action": "revoke", "_selected_action": [row.pk]})
    assert Api(token=token).get("inbox").status_code == 401
    assert browser.post(f"{LIST}{row.pk}/change/", {**FORM, "user": clerk.pk}).status_code == 403


def test_the_commands_create_and_revoke_a_key(ann, foreign, api):
    out, err = StringIO(), StringIO()
    scopes = ["--scope", "inbox:read", "--scope", "inbox:write"]
    call_command("create_api_key", "ann", "script", *scopes, "--all-clusters", stdout=out, stderr=err)
    token = out.getvalue().strip()
    assert TOKEN.fullmatch(token)
    assert token[17:] not in err.getvalue()
    assert Api(token=token).get("inbox").status_code == 200
    call_command("revoke_api_key", token[:16], stdout=out)
    assert Api(token=token).get("inbox").status_code == 401
    call_command("create_api_key", "ann", "other", *scopes, "--cluster", str(foreign.pk), stdout=out, stderr=err)
    assert APIKey.objects.latest("pk").list_cluster_keys() == {foreign.pk}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nobody", "x", "--scope", "inbox:read", "--all-clusters"], "no user 'nobody'"),
        (["ann", "x", "--scope", "inbox:read", "--cluster", "999"], "no cluster"),
        (["ann", "x", "--scope", "inbox:read", "--cluster", "abc"], "no cluster"),
        (["ann", "x", "--scope", "inbox:read"], "one of the arguments"),
        (["ann", "x", "--scope", "everything", "--all-clusters"], "invalid choice"),
        (["ann", "x" * 101, "--scope", "inbox:read", "--all-clusters"], "at most 100 characters"),
        (["ann", "x", "--scope", "inbox:read", "--all-clusters", "--expires", "soon"], "must be a time"),
    ],
)
def test_a_command_says_what_is_wrong(ann, arguments, message):
    with pytest.raises(CommandError, match=message):
        call_command("create_api_key", *arguments)
    assert not APIKey.objects.exists()


def test_an_unknown_prefix_is_named(db):
    with pytest.raises(CommandError, match="no key with the prefix 'abc'"):
        call_command("revoke_api_key", "abc")


def test_a_deleted_cluster_leaves_a_key_that_reaches_nothing(ann, issue):
    only = Cluster.objects.create(name="Only", slug="only")
    only.members.add(ann)
    program = Api(token=issue(ann, clusters=[only]))
    assert program.get("preferences").status_code == 200
    only.delete()
    assert program.get("preferences").status_code == 404


def test_a_key_can_name_the_default_cluster_before_the_first_notification(ann, capsys):
    deleted = Cluster.objects.create(slug="deleted")
    number = deleted.pk + 1
    deleted.delete()
    call_command("create_api_key", "ann", "page", "--scope", "preferences:read", "--cluster", str(number))
    answer = Api(token=capsys.readouterr().out.strip()).get("preferences")
    assert answer.json()["cluster"] == str(number) == str(Cluster.objects.get(slug="default").pk)


# klaxon.E025


def find_messages():
    return [message.msg for message in check_api()]


def set_api(settings, **options):
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "API": options}


def test_the_default_settings_are_fine(settings):
    set_api(settings)
    assert find_messages() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"AUTH": ["shop.missing.Auth"]}, "cannot be imported"),
        ({"AUTH": ["django.contrib.auth.models.User"]}, "not a subclass of Authentication"),
        ({"THROTTLE": ""}, "any number of requests"),
    ],
)
def test_an_api_that_is_not_safe_is_reported(settings, options, message):
    set_api(settings, **options)
    [found] = check_api()
    assert (found.id, message in found.msg) == ("klaxon.E025", True)
    assert found.hint


def test_a_site_without_sessions_must_not_name_them(settings):
    set_api(settings)
    settings.MIDDLEWARE = []
    [found] = find_messages()
    assert "AuthenticationMiddleware" in found
    set_api(settings, AUTH=["notifications.api.auth.KeyAuth"])
    assert find_messages() == []


def test_an_api_without_its_extra_is_reported(settings, monkeypatch):
    set_api(settings)
    monkeypatch.setattr(extras, "is_installed", lambda module: module != "ninja")
    [message] = check_api()
    assert (message.id, message.hint) == ("klaxon.E025", "Install it with: pip install 'django-klaxon[api]'")


def test_a_site_without_the_api_is_not_checked(settings):
    settings.ROOT_URLCONF = "tests.urls"
    set_api(settings, THROTTLE="")
    assert find_messages() == []


@pytest.mark.parametrize(
    "options",
    [
        {"AUTH": []}, {"AUTH": "x"}, {"THROTTLE": "often"}, {"ADDRESS_THROTTLE": 5}, {"PROXIES": -1}, {"PROXIES": True},
        {"IDEMPOTENCY_SECONDS": 0}, {"THROTLE": "1/s"},
    ],
)  # fmt: skip
def test_wrong_settings_are_problems_of_the_setting(options):
    from notifications.conf.api import find_api_problems

    [problem] = find_api_problems(options)
    assert "NOTIFICATIONS['API']" in problem.message
    assert problem.hint
