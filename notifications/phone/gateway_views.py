"""The view that an SMS gateway calls, as the option ``callback`` of its channel describes it."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseForbidden
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from notifications.channels.gateway_callback import GatewayCallback
from notifications.channels.json_paths import find_value
from notifications.channels.sms_gateway import REFERENCE_PURPOSE, SMSGatewayChannel
from notifications.core.tokens import read_token
from notifications.phone.answers import PHONE, find_wish, receive_answer, to_phone_number
from notifications.phone.callbacks import UnreadableBody, has_gateway_signature, read_body, read_form
from notifications.phone.providers import iterate_providers
from notifications.tracking.record import record
from notifications.tracking.reports import Effect, Kind, Report, make_key


@login_not_required
@csrf_exempt
@require_POST
def receive_callback(request: HttpRequest, provider: str) -> HttpResponse:
    """Record what a gateway reports about a message, or what a recipient answers.

    :param provider: the name of the provider or, if its channel has only one, of the channel.
    """
    try:
        body = read_body(request)
    except UnreadableBody:
        return HttpResponse(status=413)
    callback = find_callback(provider)
    # A gateway that does not exist is answered as a wrong signature is.
    signature = request.headers.get(callback.header, "") if callback else ""
    if callback is None or not has_gateway_signature(signature, callback.secret, body):
        return HttpResponseForbidden()
    try:
        data = parse(request.content_type or "", body)
    except (UnreadableBody, ValueError, RecursionError):
        return HttpResponseBadRequest()
    # Some reports about a message contain its text, or an empty one.
    is_report = judge(_find_text(data, callback.status), callback) is not None
    if not is_report and callback.text and isinstance(find_value(data, callback.text), str):
        _receive_answer(provider, callback, data, body)
    else:
        _receive_status(provider, callback, data, body)
    return HttpResponse(status=204)


def find_callback(name: str) -> GatewayCallback | None:
    """Return how the gateway of this name reports; None if there is none that does."""
    for _channel, provider in iterate_providers(SMSGatewayChannel):
        if provider.name == name and provider.options.get("callback"):
            return GatewayCallback.read(provider.options["callback"])
    return None


def parse(content_type: str, body: bytes) -> Mapping[str, Any]:
    """Return the values of a form or of a JSON object.

    :raises UnreadableBody, ValueError, RecursionError: if it is neither.
    """
    if content_type == "application/x-www-form-urlencoded":
        return dict(read_form(body))
    data = json.loads(body)
    if not isinstance(data, dict):
        raise UnreadableBody
    return data


def _receive_answer(provider: str, callback: GatewayCallback, data: Any, body: bytes) -> None:
    wish = find_wish(find_value(data, callback.text))
    if wish is not None:
        number, message_id = to_phone_number(_find_text(data, callback.sender)), _find_text(data, callback.id)
        digest = hashlib.sha256(body).hexdigest()
        receive_answer(wish, number, provider[:50], message_id or digest, is_id_unique=bool(message_id))


def _receive_status(provider: str, callback: GatewayCallback, data: Any, body: bytes) -> None:
    status = _find_text(data, callback.status)
    found = judge(status, callback)
    if found is None:
        return
    message_id, reference = _find_text(data, callback.id), _find_text(data, callback.reference)
    numbers = read_token(REFERENCE_PURPOSE, reference, 1) if reference else None
    identity = message_id or reference or hashlib.sha256(body).hexdigest()
    record(
        Report(
            found[0],
            provider,
            make_key("sms gateway", provider, identity, status),
            (message_id,) if message_id else (),
            address=to_phone_number(_find_text(data, callback.to)),
            detail=" ".join(filter(None, (status, _find_text(data, callback.error)))),
            effect=found[1],
            address_kind=PHONE,
            delivery_id=numbers[0] if numbers else None,
        )
    )


def judge(status: str, callback: GatewayCallback) -> tuple[Kind, Effect] | None:
    """Return what a status means; None if it is not a final one."""
    if status in callback.wrong_number:
        return Kind.BOUNCED, Effect.HARD
    if status in callback.failed:
        return Kind.BOUNCED, Effect.NONE
    return (Kind.DELIVERED, Effect.NONE) if status in callback.delivered else None


def _find_text(data: Any, path: str) -> str:
    found = find_value(data, path)
    return str(found) if isinstance(found, str | int | float) and not isinstance(found, bool) else ""
