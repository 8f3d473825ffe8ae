"""Signatures, as the packages of the receivers and OpenSSL verify them, and the rotation of secrets."""

import base64
import json
import os
import subprocess
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from notifications.channels.standard_webhooks import build_headers, check_secret, get_public_key, make_secret, sign
from notifications.exceptions import InvalidOption
from notifications.models import Delivery, WebhookAttempt, WebhookEndpoint
from notifications.testing.travel import travelling
from notifications.webhooks import create_endpoint, rotate_secret
from tests.channels.http_services import Answer
from tests.webhooks.conftest import make_due, send, work

pytestmark = pytest.mark.needs("requests_hardened")
BODIES = [b"", b"{}", '{"text": "Ä 😀 \\u0000"}'.encode(), b'{ "a" :1 }\n', b'{"n": ' + b"9" * 300 + b"}"]
JAVASCRIPT = """
const { Webhook } = require("standardwebhooks");
const lines = require("fs").readFileSync(0, "utf8").split("\\n").filter(Boolean).map(JSON.parse);
let verified = 0, refused = 0;
for (const { secret, headers, body } of lines) {
  new Webhook(secret).verify(body, headers);
  verified++;
  try { new Webhook(secret).verify(body + " ", headers); } catch { refused++; }
}
console.log(JSON.stringify({ verified, refused }));
"""


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("size", [24, 32, 64])
def test_the_python_package_verifies_v1(body, size):
    secret = "whsec_" + base64.b64encode(os.urandom(size)).decode()
    headers = build_headers([secret], "msg_1", int(time.time()), body)
    Webhook(secret).verify(body, headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(make_secret("v1")).verify(body, headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body + b" ", headers, json_parse=False)


@pytest.mark.needs_program("node")
def test_the_javascript_package_verifies_v1():
    lines = []
    for number in range(500):
        secret, body = make_secret("v1"), json.dumps({"number": number, "text": "Ä😀" * (number % 7)}).encode()
        headers = build_headers(
            [make_secret("v1"), secret, make_secret("v1a")], f"msg_{number}", int(time.time()), body
        )
        lines.append(json.dumps({"secret": secret, "headers": headers, "body": body.decode()}))
    done = subprocess.run(
        ["node", "-e", JAVASCRIPT],  # noqa: S607
        input="\n".join(lines).encode(),
        capture_output=True,
        check=True,
        env={**os.environ, "NODE_PATH": str(Path(__file__).with_name("javascript"))},
    )
    assert json.loads(done.stdout) == {"verified": 500, "refused": 500}


@pytest.mark.needs_program("openssl")
@pytest.mark.parametrize("body", BODIES)
def test_openssl_verifies_v1a(body, tmp_path):
    secret = make_secret("v1a")
    public = base64.b64decode(get_public_key(secret).removeprefix("whpk_"))
    version, _, signature = sign(secret, "msg_1", 1_700_000_000, body).partition(",")
    assert (version, len(public)) == ("v1a", 32)
    # The header of an Ed25519 key in DER (RFC 8410).
    (tmp_path / "key.der").write_bytes(bytes.fromhex("302a300506032b6570032100") + public)
    (tmp_path / "signature").write_bytes(base64.b64decode(signature))

    def verify(signed):
        (tmp_path / "signed").write_bytes(signed)
        command = "openssl pkeyutl -verify -pubin -keyform DER -inkey key.der -rawin -in signed -sigfile signature"
        return subprocess.run(command.split(), cwd=tmp_path, capture_output=True, check=False).returncode == 0

    assert verify(b"msg_1.1700000000." + body)
    assert not verify(b"msg_1.1700000001." + body)


def test_a_private_key_with_its_public_key_after_it_is_the_same_key():
    seed = base64.b64decode(make_secret("v1a").removeprefix("whsk_"))
    short = "whsk_" + base64.b64encode(seed).decode()
    long = "whsk_" + base64.b64encode(seed + base64.b64decode(get_public_key(short).removeprefix("whpk_"))).decode()
    assert get_public_key(check_secret("v1a", long)) == get_public_key(short)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("v1", "whsec_" + base64.b64encode(b"x" * 23).decode()),
        ("v1", "whsec_" + base64.b64encode(b"x" * 65).decode()),
        ("v1", "whsk_" + base64.b64encode(b"x" * 32).decode()),
        ("v1", "whsec_not base64!"),
        ("v1a", "whsec_" + base64.b64encode(b"x" * 32).decode()),
        ("v1a", "whsk_" + base64.b64encode(b"x" * 33).decode()),
    ],
)
def test_a_secret_of_the_wrong_form_is_refused_without_showing_it(kind, text):
    with pytest.raises(InvalidOption) as error:
        check_secret(kind, text)
    assert text.partition("_")[2] not in str(error.value)


@pytest.mark.django_db
@pytest.mark.parametrize("keys", [0, 1])
def test_secrets_are_encrypted_at_rest_if_the_site_has_keys(service, settings, keys):
    settings.NOTIFICATIONS = {
        **settings.NOTIFICATIONS, "ENCRYPTION_KEYS": [Fernet.generate_key().decode() for _ in range(keys)]
    }  # fmt: skip
    created = create_endpoint(None, f"{service.url}/hook")
    assert created.secret.startswith("whsec_")
    assert created.secret not in repr(created)
    rotated = rotate_secret(created.endpoint)
    row = WebhookEndpoint.objects.get()
    stored = f"{row.secret} {row.previous_secret}"
    assert (created.secret in stored and rotated.secret in stored) is (keys == 0)
    send()
    work()
    for secret in (created.secret, rotated.secret):
        Webhook(secret).verify(service.received[0].body, dict(service.received[0].headers))


@pytest.mark.django_db
def test_a_lost_key_is_an_error_that_the_log_shows_and_a_new_key_is_rotated_in(service, settings, caplog):
    plain = settings.NOTIFICATIONS
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    unencrypted = create_endpoint(None, f"{service.url}/plain")
    settings.NOTIFICATIONS = {**plain, "ENCRYPTION_KEYS": [old]}
    created = create_endpoint(None, f"{service.url}/hook")
    rotated = rotate_secret(created.endpoint)
    settings.NOTIFICATIONS = {**plain, "ENCRYPTION_KEYS": [new]}
    send()
    work()
    assert "cannot be read" in caplog.text
    assert sorted(Delivery.objects.values_list("state", flat=True)) == ["retry", "sent"]
    settings.NOTIFICATIONS = {**plain, "ENCRYPTION_KEYS": [new, old]}
    call_command("rotate_encryption_keys", verbosity=0)
    settings.NOTIFICATIONS = {**plain, "ENCRYPTION_KEYS": [new]}
    make_due()
    service.received.clear()
    work()
    [received] = service.received
    for secret in (created.secret, rotated.secret):
        Webhook(secret).verify(received.body, dict(received.headers))
    assert unencrypted.secret not in " ".join(WebhookEndpoint.objects.values_list("secret", flat=True))


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["v1", "v1a"])
def test_the_old_secret_signs_until_the_end_of_the_overlap(service, kind):
    created = create_endpoint(None, f"{service.url}/hook", kind=kind)
    with travelling() as clock:
        rotate_secret(created.endpoint, overlap=timedelta(hours=1))
        counts = []
        # The last second of the overlap, its end, and midnight are no special cases.
        for step in (0, 3599, 1, 86_400):
            clock.forward(seconds=step)
            send()
            work()
            counts.append(len(service.received[-1].headers["webhook-signature"].split(" ")))
    assert counts == [2, 2, 1, 1]


@pytest.mark.django_db
def test_a_second_rotation_within_the_overlap_is_refused(created):
    endpoint = created.endpoint
    with travelling() as clock:
        first = rotate_secret(endpoint, overlap=timedelta(hours=1))
        with pytest.raises(InvalidOption, match="still valid"):
            rotate_secret(endpoint)
        row = WebhookEndpoint.objects.get()
        assert row.list_secrets(clock.time) == [first.secret, created.secret]
        clock.forward(hours=1)
        second = rotate_secret(endpoint)
        row.refresh_from_db()
        assert row.list_secrets(clock.time) == [second.secret, first.secret]
        # After a leak, the old secrets are worthless at once.
        third = rotate_secret(endpoint, overlap=timedelta())
        row.refresh_from_db()
        assert row.list_secrets(clock.time) == [third.secret]


@pytest.mark.django_db
@pytest.mark.parametrize("overlap", [timedelta(days=31), timedelta(seconds=-1)])
def test_an_overlap_has_limits(endpoint, overlap):
    with pytest.raises(InvalidOption, match="overlap"):
        rotate_secret(endpoint, overlap=overlap)


@pytest.mark.django_db
def test_rotation_under_load_rejects_nothing(service, created):
    """A receiver verifies each message with the secret that it has. It changes to the new one at any time later."""
    known, verdicts, lock = [created.secret], [], threading.Lock()

    def answer(received):
        try:
            Webhook(known[0]).verify(received.body, dict(received.headers))
        except WebhookVerificationError as error:
            verdicts.append(str(error))
            return Answer(401)
        with lock:
            verdicts.append("")
        return Answer(204)

    service.answer = answer
    overlap = timedelta(seconds=3)
    with travelling() as clock:
        for _ in range(10):
            for _ in range(5):
                send()
            work()
            secret = rotate_secret(created.endpoint, overlap=overlap).secret
            for _ in range(5):
                send()
            clock.forward(seconds=1)
            work()
            known[0] = secret
            send()
            work()
            clock.forward(seconds=2)
    assert len(verdicts) == 110
    assert not any(verdicts)
    assert WebhookAttempt.objects.filter(accepted=False).count() == 0
