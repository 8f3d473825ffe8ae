"""The URL of the link in emails. Klaxon's own ``urls.py`` includes it."""

from django.urls import path

from notifications.escalation.pages import views

urlpatterns = [
    path("acknowledge/<str:token>/", views.Acknowledge.as_view(), name="acknowledge"),
]
