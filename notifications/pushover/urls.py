"""The URL of acknowledgements in Pushover. Klaxon's own ``urls.py`` includes it."""

from django.urls import path

from notifications.pushover import views

urlpatterns = [path("<str:token>", views.receive_acknowledgement, name="pushover_callback")]
