"""Runs an operation once for each ``Idempotency-Key``; see :mod:`notifications.models.idempotent_request`."""

import hashlib
import json
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import Error, router, transaction
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import salted_hmac

from notifications import conf
from notifications.api.auth import get_caller
from notifications.api.problems import Problem
from notifications.core import clock
from notifications.models import IdempotentRequest
from notifications.models.idempotent_request import Standing

HEADER = "Idempotency-Key"
SALT = "notifications.api.idempotency"
# The header is a structured field: a string in quotes. Many clients leave the quotes out.
KEY = re.compile(r'"?([A-Za-z0-9_.:+/=-]{1,200})"?')
RETRY = {"Retry-After": "1"}


def read_key(request: HttpRequest) -> str:
    """Return the idempotency key of a request.

    :raises Problem: if it is missing or malformed.
    """
    header = request.headers.get(HEADER, "").strip()
    if not header:
        raise Problem("idempotency-key-missing", f"Send the header {HEADER} with a new UUID for each request.")
    found = KEY.fullmatch(header)
    if found is None:
        raise Problem(
            "idempotency-key-invalid", "A key consists of 1 to 200 letters, digits and the characters _ . : + / = -"
        )
    return found[1]


def run_once(request: HttpRequest, status: int, operation: Callable[[], Any]) -> HttpResponse:
    """Run an operation and return its answer, or the stored answer if the same caller has sent the request before.

    The operation runs in a transaction. If it raises an error, nothing is changed, and its key can be used again.

    :param status: the status of the answer.
    :param operation: a function that returns the answer, ready for JSON.
    :raises Problem: if the key is missing, runs at present, or was used with another request.
    """
    using = router.db_for_write(IdempotentRequest)
    requests = IdempotentRequest.objects.using(using)
    digest = hashlib.sha256(f"{get_caller(request).identity}\n{read_key(request)}".encode()).hexdigest()
    content = _hash_content(request)
    lifetime = timedelta(seconds=conf.current().get_api_option("IDEMPOTENCY_SECONDS"))
    started = requests.start(digest, content, clock.now(using), lifetime)
    if started.standing is Standing.OTHER_CONTENT:
        raise Problem("idempotency-key-reused", "Use a new key, or send the same request.")
    if started.standing is Standing.RUNNING:
        raise Problem("idempotency-key-running", "Repeat the request when that one has finished.", headers=RETRY)
    if started.standing is Standing.ANSWERED:
        return _build(started.row.status or status, started.row.body)
    try:
        with transaction.atomic(using=using):
            body = json.dumps(operation(), cls=DjangoJSONEncoder)
            is_mine = requests.finish(digest, started.owner, status, body)
            if not is_mine:
                # Another request has taken over the key, because this one took too long.
                transaction.set_rollback(True, using=using)
    except BaseException:
        # If the database cannot be used, the lease ends.
        with suppress(Error):
            requests.abandon(digest, started.owner)
        raise
    if not is_mine:
        raise Problem("idempotency-key-running", "Another request has taken over the key.", headers=RETRY)
    return _build(status, body)


def _hash_content(request: HttpRequest) -> str:
    """Return a hash of the content. Without a secret, one could try the possible values of a short code in it."""
    place = f"{request.method} {request.get_full_path()}\n".encode(errors="surrogatepass")
    return salted_hmac(SALT, place + request.body, algorithm="sha256").hexdigest()


def _build(status: int, body: str) -> HttpResponse:
    return HttpResponse(body, status=status, content_type="application/json; charset=utf-8")
