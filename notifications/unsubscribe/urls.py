"""The URLs for unsubscribing, in the namespace ``notifications``."""

from django.urls import path

from notifications.unsubscribe import views

urlpatterns = [
    path("<str:token>/", views.Unsubscribe.as_view(), name="unsubscribe"),
    path("<str:token>/choice/", views.Choice.as_view(), name="unsubscribe-choice"),
]
