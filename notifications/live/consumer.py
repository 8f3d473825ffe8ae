"""The WebSocket ``/ws/notifications``, for sites that use Channels.

It sends the same as the stream of server-sent events, as JSON objects with a ``type``: ``inbox``, ``beat``, ``resync``
or ``end``. It ignores what the client sends. It checks session and origin itself, so the site need not wrap it.
"""

import asyncio
import json
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs

from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest

from notifications.core.extras import import_optional
from notifications.inbox.feed import Cursor
from notifications.live.hub import HUB
from notifications.live.origins import is_foreign
from notifications.live.pool import run_in_pool
from notifications.live.reading import find_start, read_message
from notifications.live.sessions import Visitor, identify_by_cookie
from notifications.live.stream import Message, MessageKind, Stream
from notifications.live.views import HEARTBEAT_SECONDS

SESSION_ENDED, LOAD_AGAIN = 4401, 4409
"""The codes with which the server closes a WebSocket. Codes from 4000 on are for applications (RFC 6455)."""
CLOSE_CODES = {MessageKind.END: SESSION_ENDED, MessageKind.RESYNC: LOAD_AGAIN}

_websocket: Any = import_optional("channels.generic.websocket")


class InboxConsumer(_websocket.AsyncWebsocketConsumer):
    """One WebSocket."""

    # The hub serves streams without the channel layer of the host.
    channel_layer_alias = ""
    pump: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Accept the client if it is signed in and comes from this site; refuse it with 403 otherwise."""
        request = build_request(self.scope)
        try:
            visitor = None if is_foreign(request, requires_origin=True) else await self._identify(request)
            cursor = _read_cursor(self.scope) or (await run_in_pool(find_start, visitor) if visitor else None)
        except (DisallowedHost, ValueError):
            visitor = None
        if visitor is None or cursor is None or not HUB.has_room_for(visitor.user_key):
            await self.close()
            return
        await self.accept()
        self.pump = asyncio.create_task(self._send_messages(visitor, cursor, asyncio.current_task()))

    async def disconnect(self, code: int) -> None:
        if self.pump is not None:
            self.pump.cancel()

    async def _identify(self, request: ASGIRequest) -> Visitor | None:
        return await run_in_pool(identify_by_cookie, request)

    async def _send_messages(self, visitor: Visitor, cursor: Cursor, connection: Any) -> None:
        own = Stream(visitor, cursor, read_message, connection)
        HUB.add(own)
        try:
            while True:
                message = await own.take(HEARTBEAT_SECONDS)
                await self.send(text_data=write_frame(message))
                if message is not None and message.is_last:
                    await self.close(CLOSE_CODES[message.kind])
                    return
        finally:
            HUB.remove(own)


def build_request(scope: dict[str, Any]) -> ASGIRequest:
    """Return the handshake as a request of Django, for its cookies, its host and its headers."""
    scheme = {"ws": "http", "wss": "https"}.get(scope.get("scheme", "ws"), "http")
    return ASGIRequest({**scope, "type": "http", "method": "GET", "scheme": scheme}, BytesIO())


def _read_cursor(scope: dict[str, Any]) -> Cursor | None:
    [text] = parse_qs(scope.get("query_string", b"").decode()).get("since", [""])[:1]
    return Cursor.parse(text) if text else None


def write_frame(message: Message | None) -> str:
    """Return a message as a JSON object with its type; None is a heartbeat."""
    if message is None:
        return '{"type":"beat"}'
    return json.dumps({"type": message.kind.value, **json.loads(message.text)})
