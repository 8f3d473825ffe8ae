"""Requests that are no good: each gets a problem, and none an error of the site."""

import logging

import pytest
from django.db import OperationalError

from notifications.monitoring import readiness
from tests.api.conftest import Api, problem

pytestmark = pytest.mark.needs("ninja")


def send_raw(api, path, body, method="post", content_type="application/json", **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.client.generic(method.upper(), f"/api/{path}", body, content_type, headers=names)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (b"[" * 40 + b"]" * 40, 400),
        (b'{"topic": "a", "topic": "b"}', 400),
        (b'{"topic": NaN}', 400),
        (b'{"topic": 1e999}', 400),
        (b'{"topic": ' + b"9" * 5000 + b"}", 400),
        (b'{"topic": "a\\u0000"}', 422),
        (b'{"topic": "\\ud800"}', 422),
        (b'{"topic": 5}', 422),
        (b'{"topic": "a", "other": 1}', 422),
        (b'{"\\u0000": "a"}', 422),
        (b"[]", 422),
        (b"null", 422),
        (b'"text"', 422),
        (b"", 422),
    ],
)
def test_a_body_that_is_not_the_expected_json_is_refused(api, body, expected):
    answer = send_raw(api, "topics/subscribe", body)
    assert problem(answer)[0] == expected


def test_a_body_of_another_type_is_refused(api):
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        answer = send_raw(api, "topics/subscribe", b'{"topic": "a"}', content_type=content_type)
        assert problem(answer) == (415, "unsupported-media-type")


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        f"multipart/form-data; boundary={'x' * 300}",
        "multipart/form-data; boundary=\xe9",
        "application/x-www-form-urlencoded; charset=utf-16",
    ],
)
def test_a_form_that_cannot_be_read_is_malformed(ann, content_type):
    # The check of the CSRF token looks for it in forms.
    browser = Api(ann, enforce_csrf_checks=True)
    browser.client.cookies["csrftoken"] = "a" * 32
    assert problem(send_raw(browser, "topics/subscribe", b"--x\r\n", content_type=content_type)) == (400, "malformed")


def test_a_body_that_is_too_large_is_refused(api, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    assert problem(api.post("topics/subscribe", {"topic": "a" * 200})) == (413, "too-large")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("nothing", 404),
        ("inbox/", 404),
        ("inbox/0", 422),
        ("inbox/-1", 404),
        (f"inbox/{2**63}", 422),
        (f"inbox/{'9' * 5000}", 404),
        ("inbox/abc", 404),
        ("inbox/%00", 404),
        ("inbox?limit=0", 422),
        ("inbox?limit=201", 422),
        ("inbox?limit=x", 422),
        (f"inbox?limit={'9' * 5000}", 422),
        ("inbox?limit=1&limit=2", 422),
        ("inbox?show=everything", 422),
        ("inbox?event=%00", 422),
        ("inbox?%00=1", 422),
        ("inbox?event=%ff", 200),
        ("inbox?cluster=" + "9" * 64, 200),
        ("preferences?cluster=" + "9" * 64, 404),
        ("preferences?cluster=abc", 404),
        ("preferences?cluster=%D9%A1", 404),
        ("preferences?cluster=1_0", 404),
        ("topics?cluster=-1", 404),
    ],
)
def test_paths_and_queries_that_mean_nothing(api, path, expected):
    answer = api.get(path)
    assert answer.status_code == expected
    if expected >= 400:
        problem(answer)


def test_head_is_get_without_a_body(api, ann, put):
    put(ann)
    head, get = api.client.head("/api/inbox"), api.get("inbox")
    assert head.status_code == 200
    assert head.content == b""
    assert int(head.headers["Content-Length"]) == len(get.content)


def test_options_and_other_methods_name_what_is_allowed(anonymous):
    for path, allowed in (
        ("inbox", "GET, HEAD, OPTIONS"),
        ("inbox/5/read", "OPTIONS, POST"),
        ("preferences", "GET, HEAD, OPTIONS, PATCH, PUT"),
    ):
        options = anonymous.client.options(f"/api/{path}")
        assert (options.status_code, options.headers["Allow"]) == (204, allowed)
        answer = anonymous.delete(path)
        assert problem(answer) == (405, "method-not-allowed")
        assert answer.headers["Allow"] == allowed
    assert problem(anonymous.client.trace("/api/inbox")) == (405, "method-not-allowed")


@pytest.mark.parametrize("debug", [False, True])
def test_an_unexpected_error_shows_nothing_of_the_inside(api, settings, monkeypatch, caplog, debug):
    settings.DEBUG = debug

    def fail(*args, **kwargs):
        raise RuntimeError("the password is 1234")

    monkeypatch.setattr("notifications.api.operations.inbox.load_counts", fail)
    answer = api.get("inbox/counts")
    assert problem(answer) == (500, "internal")
    assert b"1234" not in answer.content
    assert b"Traceback" not in answer.content
    assert answer.json()["instance"] in caplog.text
    assert "the password is 1234" in caplog.text


def test_an_outage_of_the_database_is_a_problem_that_passes(api, monkeypatch):
    import sqlite3

    def fail(*args, **kwargs):
        cause = sqlite3.OperationalError("locked")
        cause.sqlite_errorcode = sqlite3.SQLITE_BUSY
        raise OperationalError("locked") from cause

    monkeypatch.setattr("notifications.api.operations.inbox.load_counts", fail)
    answer = api.get("inbox/counts")
    assert problem(answer) == (503, "unavailable")
    assert answer.headers["Retry-After"] == "5"


def test_a_conflict_of_two_transactions_is_a_problem_that_passes(api, monkeypatch):
    def fail(*args, **kwargs):
        cause = Exception("deadlock detected")
        cause.sqlstate = "40P01"
        raise OperationalError("deadlock detected") from cause

    monkeypatch.setattr("notifications.api.operations.inbox.load_counts", fail)
    answer = api.get("inbox/counts")
    assert problem(answer) == (503, "unavailable")
    assert b"deadlock" not in answer.content


def test_live_needs_no_database_and_ready_says_whether_there_is_one(monkeypatch, settings):
    settings.NOTIFICATIONS = {"API": {}}
    from django.test import Client

    readiness.forget_answers()
    live, ready = (Client().get(f"/api/health/{name}") for name in ("live", "ready"))
    # This test may not use the database, which is as good as none.
    assert live.json() == {"status": "live"}
    assert problem(ready) == (503, "unavailable")
    readiness.forget_answers()


def test_ready_with_a_database(anonymous, monkeypatch):
    readiness.forget_answers()
    assert anonymous.get("health/ready").json() == {"status": "ready"}

    def fail(using):
        raise OperationalError("gone")

    readiness.forget_answers()
    monkeypatch.setattr(readiness, "read_tables", fail)
    assert problem(anonymous.get("health/ready")) == (503, "unavailable")
    readiness.forget_answers()


def test_answers_depend_on_who_asks_and_are_kept_by_nobody(api):
    answer = api.get("inbox")
    assert answer.headers["Cache-Control"] == "no-store"
    assert {"Authorization", "Cookie"} <= set(answer.headers["Vary"].split(", "))


def test_a_site_that_requires_a_login_everywhere_lets_the_api_decide(anonymous, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    assert problem(anonymous.get("inbox")) == (401, "not-authenticated")
    assert anonymous.get("health/live").status_code == 200


def test_client_errors_are_not_logged_as_errors(api, caplog):
    caplog.set_level(logging.INFO)
    api.get("inbox/999")
    api.post("topics/subscribe", {"topic": 1})
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
