"""Who may call: sessions with CSRF, keys with scopes and clusters, and how often."""

import logging
import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core import serializers
from django.db import OperationalError
from django.views.debug import ExceptionReporter

from notifications.api.auth import Authentication, Caller
from notifications.core import clock
from notifications.models import APIKey, Bucket
from tests.api.conftest import Api, problem

pytestmark = pytest.mark.needs("ninja")


def test_a_stranger_is_asked_to_authenticate(anonymous):
    answer = anonymous.get("inbox")
    assert problem(answer) == (401, "not-authenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


def test_a_session_needs_the_csrf_token_to_change_something(ann, put):
    [row] = put(ann)
    browser = Api(ann, enforce_csrf_checks=True)
    assert browser.get("inbox").status_code == 200
    assert problem(browser.post("inbox/read-all")) == (403, "csrf-failed")
    browser.client.cookies["csrftoken"] = "a" * 32
    assert problem(browser.post("inbox/read-all", X_CSRFToken="b" * 32)) == (403, "csrf-failed")
    assert browser.post("inbox/read-all", X_CSRFToken="a" * 32).json() == {"changed": 1}
    row.refresh_from_db()
    assert row.read_at


def test_a_request_of_another_site_is_refused(ann):
    browser = Api(ann, enforce_csrf_checks=True)
    browser.client.cookies["csrftoken"] = "a" * 32
    answer = browser.post("inbox/read-all", X_CSRFToken="a" * 32, Origin="https://evil.example")
    assert problem(answer) == (403, "csrf-failed")


def test_a_key_needs_no_csrf_token(ann, issue, put):
    put(ann)
    program = Api(token=issue(ann, "inbox:write"), enforce_csrf_checks=True)
    assert program.post("inbox/read-all").json() == {"changed": 1}


def test_only_the_hash_of_a_key_is_stored(ann, issue):
    token = issue(ann)
    [row] = APIKey.objects.all()
    stored = serializers.serialize("json", [row])
    secret = token.rpartition("_")[2] if token.count("_") == 2 else token[17:]
    assert re.fullmatch(r"klx_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", token)
    assert secret not in stored
    assert secret not in f"{row!r} {row} {vars(row)}"


def test_a_revoked_key_is_refused_at_once(ann, issue):
    program = Api(token=issue(ann))
    assert program.get("inbox").status_code == 200
    APIKey.objects.all().revoke(clock.now())
    answer = program.get("inbox")
    assert problem(answer) == (401, "invalid-key")
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_unknown_expired_and_revoked_keys_look_the_same(ann, issue):
    revoked, expired = issue(ann), issue(ann, expires_at=clock.now() - timedelta(seconds=1))
    APIKey.objects.filter(prefix=revoked[4:16]).revoke(clock.now())
    valid = issue(ann)
    other_secret = f"{valid[:17]}{'A' * 43}"
    tokens = [revoked, expired, other_secret, "klx_", "x", "klx_000000000000_" + "A" * 43, valid + "x", valid + "é"]
    answers = {Api(token=token).get("inbox").content for token in tokens}
    assert len(answers) == 1
    assert Api(token=valid).get("inbox").status_code == 200


def test_a_very_long_header_is_refused_without_a_query_for_it(ann, issue, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert problem(Api(token=issue.__name__ * 5000).get("inbox")) == (401, "invalid-key")


def test_the_key_of_an_inactive_user_is_refused(ann, issue):
    program = Api(token=issue(ann))
    User.objects.update(is_active=False)
    assert problem(program.get("inbox")) == (401, "invalid-key")


def test_the_use_of_a_key_is_recorded_once_a_minute(ann, issue):
    program, now = Api(token=issue(ann)), clock.now()
    for seconds, expected in ((0, 0), (30, 0), (70, 70)):
        with clock.override(lambda seconds=seconds: now + timedelta(seconds=seconds)):
            program.get("inbox")
        assert APIKey.objects.get().last_used_at == now + timedelta(seconds=expected)


def test_a_wrong_scope_is_named(ann, issue):
    answer = Api(token=issue(ann, "inbox:read")).post("inbox/read-all")
    assert problem(answer) == (403, "missing-scope")
    assert answer.json()["scope"] == "inbox:write"
    assert 'scope="inbox:write"' in answer.headers["WWW-Authenticate"]


def test_a_scope_does_not_replace_the_permission_of_the_user(ann, issue):
    program = Api(token=issue(ann))
    for path in ("templates", "suppressions", "analytics/summary", "admin/overview", "health/status"):
        assert problem(program.get(path)) == (403, "not-permitted")


def test_permission_is_checked_before_the_body(api):
    assert problem(api.post("notifications", {"nonsense": 1})) == (403, "not-permitted")


@pytest.mark.parametrize("header", ["Bearer klx_wrong", "Bearer", ""])
def test_an_invalid_key_does_not_fall_back_to_the_session(header, api):
    assert problem(api.get("inbox", Authorization=header)) == (401, "invalid-key")


def test_a_key_never_appears_in_the_log(ann, issue, caplog):
    caplog.set_level(logging.DEBUG)
    token = issue(ann, "inbox:read")
    for program in (Api(token=token), Api(token=token[:-1] + "x")):
        program.get("inbox")
        program.post("inbox/read-all")
        program.post("notifications", {"a": 1})
    assert caplog.records
    assert token[17:-1] not in caplog.text


def set_api(settings, **options):
    api = {**settings.NOTIFICATIONS["API"], **options}
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "API": api}


def test_a_report_of_an_error_does_not_show_the_key(ann, issue, caplog, monkeypatch):
    token = issue(ann)

    def fail(*args, **kwargs):
        raise OperationalError("gone")

    monkeypatch.setattr("django.db.models.query.QuerySet.first", fail)
    assert Api(token=token).get("inbox").status_code == 500
    [record] = [record for record in caplog.records if record.name == "notifications.api"]
    report = ExceptionReporter(None, *record.exc_info).get_traceback_html()
    assert "api_key.py" in report
    assert token[17:] not in report


def test_a_caller_who_asks_too_often_is_throttled_and_others_are_not(ann, olga, api, issue, settings):
    set_api(settings, THROTTLE="3/m")
    assert [api.get("inbox").status_code for _ in range(4)] == [200, 200, 200, 429]
    answer = api.get("inbox")
    assert problem(answer) == (429, "throttled")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert Api(olga).get("inbox").status_code == 200
    assert Api(token=issue(ann)).get("inbox").status_code == 200
    later = clock.now() + timedelta(seconds=int(answer.headers["Retry-After"]))
    with clock.override(lambda: later):
        assert api.get("inbox").status_code == 200


def test_an_address_is_throttled_before_its_credentials_are_checked(anonymous, issue, ann, settings):
    set_api(settings, ADDRESS_THROTTLE="2/m")
    guesses = [Api(token=f"klx_{number:012}_{'A' * 43}").get("inbox").status_code for number in range(4)]
    assert guesses == [401, 401, 429, 429]
    assert Api(token=issue(ann)).get("inbox").status_code == 429
    assert anonymous.get("health/live").status_code == 200
    assert Bucket.objects.get().key.startswith("api:address:")
    assert "127.0.0.1" not in Bucket.objects.get().key


@pytest.mark.parametrize(
    ("proxies", "header", "other", "is_same"),
    [
        (0, "1.1.1.1", "2.2.2.2", True),
        (1, "6.6.6.6, 1.1.1.1", "7.7.7.7, 1.1.1.1", True),
        (1, "1.1.1.1", "2.2.2.2", False),
        (2, "1.1.1.1, 9.9.9.9", "2.2.2.2, 9.9.9.9", False),
        (1, "2001:db8::1", "2001:db8::2", True),
        (1, "2001:db8:0:1::1", "2001:db8:0:2::1", False),
        (1, "::ffff:1.1.1.1", "1.1.1.1", True),
        (1, "nonsense", "", True),
    ],
)
def test_what_a_client_writes_itself_is_not_its_address(anonymous, settings, proxies, header, other, is_same):
    set_api(settings, ADDRESS_THROTTLE="1/m", PROXIES=proxies)
    assert anonymous.get("inbox", X_Forwarded_For=header).status_code == 401
    assert anonymous.get("inbox", X_Forwarded_For=other).status_code == (429 if is_same else 401)


class HeaderAuth(Authentication):
    """Trusts a header, as behind a gateway of the site."""

    security_scheme = {"type": "apiKey", "in": "header", "name": "X-User"}

    def authenticate(self, request):
        user = User.objects.filter(username=request.headers.get("X-User", "")).first()
        return user and Caller(user, frozenset({"inbox:read"}))


def test_a_site_can_authenticate_in_another_way(anonymous, ann, put, settings):
    put(ann)
    set_api(settings, AUTH=["tests.api.test_auth.HeaderAuth"])
    assert len(anonymous.get("inbox", X_User="ann").json()["items"]) == 1
    assert problem(anonymous.post("inbox/read-all", X_User="ann")) == (403, "missing-scope")
    assert problem(Api(ann).get("inbox")) == (401, "not-authenticated")
    description = anonymous.get("openapi.json").json()
    assert list(description["components"]["securitySchemes"]) == ["HeaderAuth"]
