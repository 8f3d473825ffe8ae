"""A push service on loopback and browsers that are subscribed to it: they check VAPID and decrypt (RFC 8291)."""

import base64
import json
import os
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CURVE = ec.SECP256R1()


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encode(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def derive(secret, salt, info, length):
    return HKDF(hashes.SHA256(), length, salt, info).derive(secret)


class Browser:
    """A browser with its keys. ``p256dh`` and ``auth`` are what it gives to the site."""

    def __init__(self, private=None, auth=None):
        self.private = private or ec.generate_private_key(CURVE)
        self.secret = auth or os.urandom(16)
        self.public = self.private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    @property
    def p256dh(self):
        return encode(self.public)

    @property
    def auth(self):
        return encode(self.secret)

    def decrypt(self, body):
        """The plain text of a message with one record (RFC 8188 and 8291)."""
        salt, size, length = body[:16], int.from_bytes(body[16:20], "big"), body[20]
        sender, record = body[21 : 21 + length], body[21 + length :]
        assert len(record) <= size
        shared = self.private.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(CURVE, sender))
        secret = derive(shared, self.secret, b"WebPush: info\0" + self.public + sender, 32)
        key = derive(secret, salt, b"Content-Encoding: aes128gcm\0", 16)
        nonce = derive(secret, salt, b"Content-Encoding: nonce\0", 12)
        padded = AESGCM(key).decrypt(nonce, record, None).rstrip(b"\0")
        assert padded[-1:] == b"\x02", "the last record ends with the delimiter 2"
        return padded[:-1]


def read_vapid(header):
    """The claims of a VAPID header and the public key that they are signed with (RFC 8292)."""
    scheme, _, rest = header.partition(" ")
    assert scheme == "vapid"
    fields = dict(part.strip().split("=", 1) for part in rest.split(","))
    head, claims, signature = fields["t"].split(".")
    assert json.loads(decode(head))["alg"] == "ES256"
    raw = decode(signature)
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    key = ec.EllipticCurvePublicKey.from_encoded_point(CURVE, decode(fields["k"]))
    key.verify(utils.encode_dss_signature(r, s), f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))
    return json.loads(decode(claims)), fields["k"]


class PushService:
    """Accepts what a push service must accept, and answers with the set status otherwise."""

    def __init__(self):
        self.messages = []
        self.status = {}
        self.headers = {}

    def answer(self, handler):
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        status = self.status.get(handler.path, 201)
        try:
            claims, key = read_vapid(handler.headers["Authorization"])
        except (AssertionError, InvalidSignature, KeyError, ValueError):
            return 401
        if claims["aud"] != self.url or not claims["sub"].startswith("mailto:"):
            return 403
        if handler.headers["Content-Encoding"] != "aes128gcm" or not handler.headers["TTL"].isdigit():
            return 400
        if len(handler.headers["Topic"]) > 32:
            return 400
        if len(body) > 4096:
            return 413
        if status < 300:
            self.messages.append((handler.path, handler.headers, body, key))
        return status


@contextmanager
def push_service():
    service = PushService()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            status = service.answer(self)
            self.send_response(status)
            for name, value in service.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            if status < 300:
                self.send_header("Location", f"{service.url}/m/{len(service.messages)}")
            self.end_headers()

        def do_GET(self):
            service.messages.append(("GET", {}, b"", ""))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_port}"
    service.close = lambda: (server.shutdown(), server.server_close())
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
