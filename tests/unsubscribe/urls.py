"""The URLs of a site that includes the pages that unsubscribe, and no preference centre."""

from django.urls import include, path

pages = [path("unsubscribe/", include("notifications.unsubscribe.urls"))]
urlpatterns = [path("notifications/", include((pages, "notifications")))]
