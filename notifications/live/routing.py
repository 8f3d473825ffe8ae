"""The route of the WebSocket, for ``URLRouter`` of Channels.

``asgi.py`` of the host::

    application = ProtocolTypeRouter({
        "http": get_asgi_application(),
        "websocket": URLRouter(websocket_urlpatterns),
    })
"""

from django.urls import path

from notifications.live.consumer import InboxConsumer

websocket_urlpatterns = [path("ws/notifications", InboxConsumer.as_asgi())]
