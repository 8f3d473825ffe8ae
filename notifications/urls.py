"""The pages for people: include as ``path("notifications/", include("notifications.urls"))``."""

app_name = "notifications"

urlpatterns: list = []
