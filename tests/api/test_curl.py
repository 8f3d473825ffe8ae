"""The lines for curl in the documentation do what they say, at a real server."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from notifications.models import Cluster, Delivery, InboxItem, Notification, StaffTemplate, UserSettings
from notifications.outcomes import DeliveryState
from tests.docs.test_samples import DOCS, blocks

pytestmark = [
    pytest.mark.needs("ninja", "jinja2"),
    pytest.mark.needs_program("curl"),
    pytest.mark.django_db(transaction=True, reset_sequences=True),
    pytest.mark.one_database,
]
PAGE = DOCS / "http-api.md"


def list_lines() -> list[str]:
    return [line[2:] for block in blocks(PAGE) for line in block.body.splitlines() if line.startswith("$ curl")]


def test_every_line_for_curl_works(live_server, issue, settings):
    user = User.objects.create_superuser("ann", "ann@example.com")
    variables = {"$API": f"{live_server.url}/api", "$KEY": issue(user)}
    assert user.pk == 1
    for line in list_lines():
        if "/resend" in line:
            Delivery.objects.update(state=DeliveryState.DEAD)
        if "/inbox/1 " in line:
            values = {"event": "message", "priority": 3, "title": "Hi", "created_at": "2030-01-01T00:00Z"}
            InboxItem.objects.add_items([InboxItem(cluster=Cluster.objects.default(), recipient=user, **values)])
        for name, value in variables.items():
            line = line.replace(name, value)
        command = [*shlex.split(line), "--silent", "--show-error", "--fail-with-body"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    assert Notification.objects.get(event="message").actor == user
    assert InboxItem.objects.get(pk=1).read_at
    assert UserSettings.objects.get().digest == "daily"
    assert StaffTemplate.objects.get().published.number == 1
    assert not Delivery.objects.filter(state=DeliveryState.DEAD).exists()


def test_every_endpoint_of_intellibrowse_has_a_line():
    [table] = re.findall(r"\| IntelliBrowse \| here \|\n\|---\|---\|\n((?:\|.*\n)+)", PAGE.read_text())
    lines = "\n".join(list_lines())
    for row in table.splitlines():
        for method, path in re.findall(r"`(GET|POST|PUT|DELETE) (/\S+)`", row.split("|")[2]):
            wanted = re.escape(path).replace(r"\{id\}", "1").replace(r"\{channel\}", r"\w+")
            verb = "" if method == "GET" else f"-X {method} "
            assert re.search(rf'curl {verb}"?\$API{wanted}[ "?]', lines), f"{method} {path}"


def test_the_seeds_endpoints_are_in_the_table():
    assert Path(PAGE).exists()
    for endpoint in (
        *("POST /notifications", "GET /notifications", "GET /notifications/{id}", "PUT /notifications/{id}"),
        *("GET /preferences", "PUT /preferences", "POST /preferences/channels"),
        *("DELETE /preferences/channels/{channel}", "GET /admin/notifications", "GET /admin/metrics"),
        *("POST /admin/templates", "PUT /admin/templates/{id}"),
    ):
        assert re.search(rf"^\|[^|]*`{re.escape(endpoint)}`", PAGE.read_text(), re.MULTILINE), endpoint
