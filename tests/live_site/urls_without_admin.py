from django.urls import include, path

from tests.live_site.pages import host, styles
from tests.live_site.policy import report

urlpatterns = [
    path("", host),
    path("host.css", styles),
    path("csp-report/", report),
    path("notifications/", include("notifications.urls")),
]
