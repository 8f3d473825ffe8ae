"""Read requests of services: their bodies, up to a limit, and their signatures. Comparing takes constant time."""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Iterable
from urllib.parse import parse_qsl, urlsplit

from django.http import HttpRequest

MAX_BYTES = 65_536
MAX_FIELDS = 200
STANDARD_PORTS = {"https": 443, "http": 80}
Pairs = list[tuple[str, str]]


class UnreadableBody(Exception):
    """The body is too long or malformed."""


def read_body(request: HttpRequest) -> bytes:
    """Return the body of a request.

    :raises UnreadableBody: if it has more than :data:`MAX_BYTES` bytes.
    """
    body = request.read(MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        raise UnreadableBody
    return body


def read_form(body: bytes) -> Pairs:
    """Return the fields of a form in their order, also those that occur several times.

    :raises UnreadableBody: if it is not a form, or has more than :data:`MAX_FIELDS` fields.
    """
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise UnreadableBody from error


def sign_for_twilio(token: str, url: str, form: Pairs) -> str:
    """Return the signature of a request of Twilio: HMAC-SHA1 of its URL and its sorted fields.

    A value that a field has several times counts once, as in Twilio's own libraries.
    See https://www.twilio.com/docs/usage/security.
    """
    signed = url + "".join(name + value for name, value in sorted(set(form)))
    return b64encode(hmac.digest(token.encode(), signed.encode(errors="surrogatepass"), "sha1")).decode()


def has_twilio_signature(signature: str, tokens: Iterable[str], url: str, form: Pairs) -> bool:
    """Return whether a signature was made with one of these tokens.

    Twilio signs some requests with the port in the URL, and others without it.
    """
    urls = (url, _change_port(url))
    made = [sign_for_twilio(token, each, form) for token in tokens for each in urls]
    return any(_is_equal(signature, each) for each in made)


def _change_port(url: str) -> str:
    """Return a URL with the standard port of its scheme if it has none, and without its port if it has one."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    bare = host.removesuffix(f":{parts.port}")
    changed = bare if parts.port else f"{host}:{STANDARD_PORTS.get(parts.scheme, 443)}"
    # Replaced once in the text, because putting the parts together could change others.
    return url.replace(host, changed, 1)


def has_gateway_signature(signature: str, secret: str, body: bytes) -> bool:
    """Return whether a signature is the HMAC-SHA256 of a body, in hexadecimal digits."""
    made = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return _is_equal(signature.strip().lower().removeprefix("sha256="), made)


def _is_equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(errors="surrogatepass"), other.encode())
