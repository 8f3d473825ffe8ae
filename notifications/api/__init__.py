"""The HTTP API. Include it with ``path("api/", include("notifications.api.urls"))``; it needs the extra ``[api]``."""
