"""A site with the API and the pages."""

from django.urls import include, path

urlpatterns = [
    path("notifications/", include("notifications.urls")),
    path("api/", include("notifications.api.urls")),
]
