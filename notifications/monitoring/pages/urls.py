"""The URLs for programs that watch the site. Klaxon's own ``urls.py`` includes them."""

from django.urls import path

from notifications.monitoring.pages import health

urlpatterns = [
    path("live", health.show_live, name="health-live"),
    path("ready", health.show_ready, name="health-ready"),
    path("status", health.show_status, name="health-status"),
]
