"""The URLs of the inbox, its stream and web push, of preferences, links of all kinds, sensitive events,
acknowledgements in Pushover and the metrics.

Include them with ``path("notifications/", include("notifications.urls"))``.
"""

from django.urls import include, path
from django.views.generic import RedirectView

from notifications.monitoring.pages.metrics import show_metrics

app_name = "notifications"

to_inbox = RedirectView.as_view(
    pattern_name="notifications:inbox", query_string=True, http_method_names=["get", "head"]
)

urlpatterns = [
    path("", to_inbox, name="index"),
    path("t/", include("notifications.tracking.urls")),
    path("", include("notifications.live.urls")),
    path("health/", include("notifications.monitoring.pages.urls")),
    path("inbox/", include("notifications.inbox.urls")),
    path("metrics", show_metrics, name="metrics"),
    path("sensitive/", include("notifications.sensitive.urls")),
    path("preferences/", include("notifications.preference_centre.urls")),
    path("phone/", include("notifications.phone.urls")),
    path("push/", include("notifications.push.urls")),
    path("links/", include("notifications.magic_links.urls")),
    path("pushover/", include("notifications.pushover.urls")),
    path("webhooks/", include("notifications.webhooks.pages.urls")),
    path("", include("notifications.escalation.pages.urls")),
    path("unsubscribe/", include("notifications.unsubscribe.urls")),
]
