"""The stream of server-sent events: one long response, in which the server writes each change of the inbox.

It needs ASGI. Under WSGI, the address answers 501, and pages ask for the feed from time to time instead.
"""

import random
from collections.abc import AsyncIterator

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from notifications.inbox.feed import Cursor
from notifications.live.hub import HUB
from notifications.live.origins import is_foreign
from notifications.live.pool import release_request_thread, run_in_pool
from notifications.live.reading import find_start, read_message
from notifications.live.sessions import Visitor, identify
from notifications.live.stream import Message, Stream

HEARTBEAT_SECONDS = 25.0
RECONNECT_MILLISECONDS = 1000, 4000
"""A browser connects again after a time between these. They differ, so that not all come at once after a restart."""
HEARTBEAT = b"event: beat\ndata: {}\n\n"
HEADERS = {
    # Otherwise nginx and Django's GZipMiddleware keep events back until there are enough of them.
    "X-Accel-Buffering": "no",
    "Content-Encoding": "identity",
}


@never_cache
@require_GET
async def stream(request: HttpRequest) -> HttpResponseBase:
    """Stream what changes in the inbox of the signed-in user.

    ``Last-Event-ID`` or ``since`` is the cursor up to which the client has read; by default, it gets only what changes
    from now on.
    """
    if not isinstance(request, ASGIRequest):
        return _refuse(501, "Live streams need ASGI. Ask for the feed from time to time instead.")
    if is_foreign(request):
        return _refuse(403, "Another site has opened the stream.")
    try:
        cursor = _read_cursor(request)
    except ValueError as error:
        return _refuse(400, str(error))
    visitor = await run_in_pool(identify, request)
    if visitor is None:
        return _refuse(403, "not signed in")
    if not HUB.has_room_for(visitor.user_key):
        return _refuse(429, "There are too many streams of this user.")
    if cursor is None:
        cursor = await run_in_pool(find_start, visitor)
    return StreamingHttpResponse(write_events(visitor, cursor), content_type="text/event-stream", headers=HEADERS)


def _refuse(status: int, reason: str) -> JsonResponse:
    return JsonResponse({"error": reason}, status=status)


def _read_cursor(request: HttpRequest) -> Cursor | None:
    text = request.headers.get("Last-Event-ID") or request.GET.get("since")
    return Cursor.parse(text) if text else None


async def write_events(visitor: Visitor, cursor: Cursor) -> AsyncIterator[bytes]:
    """Yield server-sent events until the stream ends or the client closes it."""
    release_request_thread()
    own = Stream(visitor, cursor, read_message)
    HUB.add(own)
    try:
        # The first bytes show the client that the stream is open.
        yield f"retry: {random.randint(*RECONNECT_MILLISECONDS)}\n\n".encode()  # noqa: S311 - spreads the load
        while True:
            message = await own.take(HEARTBEAT_SECONDS)
            yield HEARTBEAT if message is None else _write_event(message)
            if message is not None and message.is_last:
                return
    finally:
        HUB.remove(own)


def _write_event(message: Message) -> bytes:
    # A line break would end the field, and JSON has none.
    identifier = f"id: {message.cursor}\n" if message.has_cursor else ""
    return f"{identifier}event: {message.kind.value}\ndata: {message.text}\n\n".encode()
