"""The URLs of the pages of webhooks, in the namespace ``notifications``."""

from django.urls import path

from notifications.webhooks.pages import views

urlpatterns = [
    path("", views.Endpoints.as_view(), name="webhooks"),
    path("<str:uid>/", views.Endpoint.as_view(), name="webhook"),
    path("<str:uid>/attempts/<int:pk>/", views.Attempt.as_view(), name="webhook-attempt"),
]
