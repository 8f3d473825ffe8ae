"""The URLs of the pages that benchmarks request."""

from django.urls import include, path

urlpatterns = [path("notifications/", include("notifications.urls"))]
