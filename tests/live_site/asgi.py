"""The host under ASGI, with the WebSocket if Channels is installed."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.live_site.settings")

from channels.routing import ProtocolTypeRouter, URLRouter
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

http = ASGIStaticFilesHandler(get_asgi_application())

from notifications.live.routing import websocket_urlpatterns  # noqa: E402 - it needs the apps

application = ProtocolTypeRouter({"http": http, "websocket": URLRouter(websocket_urlpatterns)})
