"""The URLs of the HTTP API, in the namespace ``notifications_api``.

Include them with ``path("api/", include("notifications.api.urls"))``. Without the extra ``[api]`` there are no paths,
and the check klaxon.E025 reports it.
"""

from django.urls import URLPattern, URLResolver

from notifications.core.extras import is_installed

app_name = "notifications_api"
urlpatterns: list[URLPattern | URLResolver] = []

if is_installed("ninja"):
    from notifications.api.operations.application import build_patterns

    urlpatterns += build_patterns()
