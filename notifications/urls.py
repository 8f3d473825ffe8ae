"""The pages for people: include as ``path("notifications/", include("notifications.urls"))``."""

from django.urls import include, path

app_name = "notifications"

urlpatterns = [
    path("inbox/", include("notifications.inbox.urls")),
]
