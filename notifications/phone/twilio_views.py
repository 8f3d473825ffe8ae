"""The views that Twilio calls. Its signature covers the whole URL and all fields (``X-Twilio-Signature``)."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from django.contrib.auth.decorators import login_not_required
from django.db import router
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.utils import translation
from django.utils.html import escape
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from notifications import conf
from notifications.channels.twilio import KEY_PURPOSE, STATUS_PURPOSE, TwilioChannel
from notifications.channels.twilio_sms import TwilioSMSChannel
from notifications.channels.twilio_voice import ACKNOWLEDGE_KEY, ask_for_key, gather, say
from notifications.core.databases import read_from_primary
from notifications.core.tokens import read_token
from notifications.exceptions import NotPermitted
from notifications.manager import NotificationManager
from notifications.models import Delivery
from notifications.phone.answers import PHONE, Wish, find_wish, receive_answer, to_phone_number
from notifications.phone.callbacks import UnreadableBody, has_twilio_signature, read_body, read_form
from notifications.phone.providers import iterate_providers
from notifications.tracking.record import record
from notifications.tracking.reports import Effect, Kind, Report, make_key

logger = logging.getLogger("notifications.phone")

SOURCE = "Twilio"
Fields = dict[str, str]
# Other statuses, such as "sent", say nothing that is not known. So a late one does not change anything.
KINDS = {
    "delivered": Kind.DELIVERED,
    "undelivered": Kind.BOUNCED,
    "failed": Kind.REJECTED,
    "completed": Kind.DELIVERED,
    "busy": Kind.BOUNCED,
    "no-answer": Kind.BOUNCED,
    "canceled": Kind.BOUNCED,
}
EFFECTS = {
    "21211": Effect.HARD,  # the number is not valid
    "21610": Effect.STOP,
    "30004": Effect.BLOCK,
    "30005": Effect.HARD,  # the number is unknown
}
"""What error codes mean for the number. One that gets no SMS (30006, a landline) can be called, so it stays."""


def from_twilio(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Call a view with the fields of a request and its URL, if it has a signature of one of the site's accounts."""

    @login_not_required
    @csrf_exempt
    @require_POST
    @wraps(view)
    def wrapper(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        try:
            form = read_form(read_body(request))
        except UnreadableBody:
            return HttpResponse(status=413)
        fields = dict(form)
        tokens = find_tokens(fields.get("AccountSid", ""))
        signature = request.headers.get("X-Twilio-Signature", "")
        for url in list_called_urls(request):
            if has_twilio_signature(signature, tokens, url, form):
                return view(fields, url=url, **kwargs)
        return HttpResponseForbidden()

    return wrapper


def find_tokens(account_sid: str) -> list[str]:
    """Return the tokens with which an account signs its requests."""
    options = [provider.options for _name, provider in iterate_providers(TwilioChannel)]
    return [
        one["auth_token"]
        for one in options
        if account_sid and one.get("account_sid") == account_sid and one.get("auth_token")
    ]


def list_called_urls(request: HttpRequest) -> list[str]:
    """Return the URLs that the service may have called.

    Behind a proxy, the request may have another scheme and host, so these are of ``BASE_URL``. The path that the server
    removes from the request (``SCRIPT_NAME``) is either a part of ``BASE_URL`` or of the paths of the site.
    """
    base = conf.current().base_url.rstrip("/") or f"{request.scheme}://{request.get_host()}"
    query = request.META.get("QUERY_STRING", "")
    paths = dict.fromkeys((request.path_info, request.path))
    return [base + path + (f"?{query}" if query else "") for path in paths]


@from_twilio
def receive_status(fields: Fields, url: str, token: str) -> HttpResponse:
    """Record what happened to a message or call."""
    numbers = read_token(STATUS_PURPOSE, token, 1)
    if numbers is None:
        return HttpResponseForbidden()
    message_id = fields.get("MessageSid") or fields.get("CallSid", "")
    status = (fields.get("MessageStatus") or fields.get("CallStatus", "")).lower()
    kind = KINDS.get(status)
    if kind is not None and message_id:
        code = fields.get("ErrorCode", "")
        record(
            Report(
                kind,
                SOURCE,
                make_key(SOURCE, message_id, status),
                (message_id,),
                address=to_phone_number(fields.get("To", "")),
                detail=" ".join(filter(None, (status, code, fields.get("SipResponseCode", "")))),
                effect=Effect.NONE if kind == Kind.DELIVERED else EFFECTS.get(code, Effect.NONE),
                address_kind=PHONE,
                delivery_id=numbers[0],
            )
        )
    return HttpResponse(status=204)


@from_twilio
def receive_message(fields: Fields, url: str) -> HttpResponse:
    """Read what a recipient answers. If Twilio has understood it, it says so in ``OptOutType`` and has answered."""
    named = fields.get("OptOutType", "")
    wish = Wish(named) if named in Wish.__members__ else find_wish(fields.get("Body", ""))
    message_id = fields.get("MessageSid", "")
    if wish is None or not message_id:
        return respond("")
    receive_answer(wish, to_phone_number(fields.get("From", "")), SOURCE, message_id)
    if wish is Wish.HELP and not named and (text := find_help_text(fields.get("AccountSid", ""))):
        return respond(f"<Message>{escape(text)}</Message>")
    return respond("")


def find_help_text(account_sid: str) -> str:
    """Return the answer to HELP of the first channel of an account that has one."""
    for _name, provider in iterate_providers(TwilioSMSChannel):
        if provider.options.get("account_sid") == account_sid and provider.options.get("help_text"):
            return str(provider.options["help_text"])
    return ""


@from_twilio
def receive_key(fields: Fields, url: str, token: str) -> HttpResponse:
    """Acknowledge the notification of a call if the recipient has pressed the key."""
    numbers = read_token(KEY_PURPOSE, token, 1)
    if numbers is None:
        return HttpResponseForbidden()
    values = dict(parse_qsl(urlsplit(url).query))
    language, spoken, voice = (values.get(name, "") for name in ("language", "spoken", "voice"))
    with translation.override(language if translation.check_for_language(language) else None):
        if fields.get("Digits") != ACKNOWLEDGE_KEY:
            return respond(gather(say(ask_for_key(), spoken, voice), url))
        if acknowledge(numbers[0]):
            words = _("Thank you. The message is acknowledged.")
        else:
            words = _("You cannot acknowledge this message.")
    return respond(say(words, spoken, voice))


@read_from_primary()
def acknowledge(delivery_id: int) -> bool:
    """Acknowledge the notification of a delivery by its recipient; return whether that is possible."""
    rows = Delivery.objects.using(router.db_for_write(Delivery)).select_related("notification__cluster", "recipient")
    delivery = rows.filter(pk=delivery_id).first()
    if delivery is None or delivery.recipient is None:
        return False
    try:
        NotificationManager.acknowledge(delivery.notification, delivery.recipient)
    except NotPermitted as error:
        logger.warning("The call of delivery %s was answered, but not acknowledged: %s", delivery_id, error)
        return False
    return True


def respond(twiml: str) -> HttpResponse:
    """Return TwiML."""
    return HttpResponse(f"<Response>{twiml}</Response>", content_type="text/xml; charset=utf-8")
