"""Runs an operation once for each ``Idempotency-Key``; see :mod:`notifications.models.idempotent_request`."""

import hashlib
import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import router, transaction
from django.http import HttpRequest, HttpResponse

from notifications import conf
from notifications.api.auth import get_caller
from notifications.api.problems import Problem
from notifications.core import clock
from notifications.models import IdempotentRequest
from notifications.models.idempotent_request import Standing

HEADER = "Idempotency-Key"
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
    digest = _hash(get_caller(request).identity, read_key(request))
    content = _hash(request.method or "", request.get_full_path(), request.body)
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
            if not requests.finish(digest, started.owner, status, body):
                raise Problem("idempotency-key-running", "Another request has taken over the key.", headers=RETRY)
    except BaseException:
        requests.abandon(digest, started.owner)
        raise
    return _build(status, body)


def _hash(*parts: str | bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode(errors="surrogatepass") if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.hexdigest()


def _build(status: int, body: str) -> HttpResponse:
    return HttpResponse(body, status=status, content_type="application/json; charset=utf-8")
