"""The URL of the live stream, in the namespace ``notifications``."""

from django.urls import path

from notifications.live import views

urlpatterns = [path("inbox/stream", views.stream, name="inbox-stream")]
