"""Firebase on loopback: the token endpoint, which checks the signature of a service account, and ``messages:send``.

It checks messages as the reference of the API describes them: projects.messages, AndroidConfig, ApnsConfig,
WebpushConfig.
"""

import base64
import json
import re
from contextlib import contextmanager
from functools import cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.channels.http_services import Answer, http_service

PROJECT = "shop-1234"
MESSAGES = f"/v1/projects/{PROJECT}/messages:send"
TOKENS = "/token"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
FIELDS = {
    "": {"token", "notification", "data", "android", "apns", "webpush"},
    "notification": {"title", "body", "image"},
    "android": {"collapse_key", "priority", "ttl", "notification", "data"},
    "apns": {"headers", "payload"},
    "webpush": {"headers", "data", "notification", "fcm_options"},
}


@cache
def make_key():
    return rsa.generate_private_key(65537, 2048)


def make_account(url):
    """Return what the JSON file of a service account contains."""
    pem = make_key().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": "k1",
        "private_key": pem.decode(),
        "client_email": "klaxon@shop-1234.iam.gserviceaccount.com",
        "token_uri": f"{url}{TOKENS}",
    }


def make_error(status, code="", canonical="", message="", violation="", headers=None):
    """Return an error as Firebase writes it: ``google.rpc.Status`` with details."""
    details = []
    if code:
        details.append({"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code})
    if violation:
        fields = [{"field": violation, "description": "Invalid"}]
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": fields})
    error = {"code": status, "message": message or "No.", "status": canonical or code, "details": details}
    return Answer(status, {"error": error}, headers or {})


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Firebase:
    """Accepts what Firebase accepts. ``answers`` are given first, by path; ``devices`` are answers by token.

    ``messages`` are those that were accepted.
    """

    def __init__(self, service):
        self.service, self.url = service, service.url
        service.answer = self.answer
        self.reset()

    def reset(self):
        self.service.reset()
        self.answers = {TOKENS: [], MESSAGES: []}
        self.devices = {}
        self.messages = []
        self.issued = []
        self.lifetime = 3600

    def count(self, path):
        return sum(one.path == path for one in self.service.received)

    def answer(self, received):
        if self.answers.get(received.path):
            return self.answers[received.path].pop(0)
        if received.path == TOKENS:
            return self.issue(received.form)
        if received.path != MESSAGES:
            return make_error(404, canonical="NOT_FOUND")
        if received.headers["Authorization"] != f"Bearer {self.issued[-1]}":
            return make_error(401, canonical="UNAUTHENTICATED")
        message = received.json["message"]
        if message["token"] in self.devices:
            return self.devices[message["token"]]
        if fault := find_fault(received.json):
            return make_error(400, "INVALID_ARGUMENT", message=fault)
        self.messages.append(message)
        return Answer(200, {"name": f"projects/{PROJECT}/messages/{len(self.messages)}"})

    def issue(self, form):
        head, claims, signature = form["assertion"].split(".")
        try:
            make_key().public_key().verify(
                decode(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256()
            )
        except InvalidSignature:
            return Answer(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
        claims = json.loads(decode(claims))
        if form["grant_type"] != GRANT or claims["scope"] != SCOPE or claims["exp"] - claims["iat"] > 3600:
            return Answer(400, {"error": "invalid_scope"})
        self.issued.append(f"ya29.access-{len(self.issued)}")
        return Answer(200, {"access_token": self.issued[-1], "expires_in": self.lifetime, "token_type": "Bearer"})


def find_fault(body):
    message = body["message"]
    payload = {"data": message["data"], "notification": message["notification"]}
    android, headers = message["android"], message["apns"]["headers"]
    link = message["webpush"].get("fcm_options", {"link": "https://"})["link"]
    rules = {
        "unknown field": set(body) == {"message"} and not find_unknown_fields(message),
        "message too big": len(json.dumps(payload, ensure_ascii=False).encode()) <= 4096,
        "data must be texts": all(isinstance(value, str) for value in message["data"].values()),
        "reserved key": not any(key == "from" or key.startswith(("google", "gcm")) for key in message["data"]),
        "android": android["priority"] in ("HIGH", "NORMAL") and re.fullmatch(r"\d+s", android["ttl"]),
        "apns-priority": headers["apns-priority"] in ("5", "10"),
        "apns-expiration": headers["apns-expiration"].isdigit(),
        "apns-collapse-id": 0 < len(headers["apns-collapse-id"].encode()) <= 64,
        "link": link.startswith("https://"),
    }
    return next((name for name, is_kept in rules.items() if not is_kept), "")


def find_unknown_fields(message):
    return [name for name, known in FIELDS.items() if set(message.get(name, {}) if name else message) - known]


@contextmanager
def firebase():
    with http_service() as service:
        yield Firebase(service)
