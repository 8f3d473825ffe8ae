"""The URLs of web push, in the namespace ``notifications``."""

from django.urls import path

from notifications.push import views

urlpatterns = [
    path("", views.Page.as_view(), name="push"),
    path("subscribe/", views.Subscribe.as_view(), name="push-subscribe"),
    path("unsubscribe/", views.Unsubscribe.as_view(), name="push-unsubscribe"),
    path("<int:pk>/remove/", views.Remove.as_view(), name="push-remove"),
    path("worker.js", views.worker, name="push-worker"),
]
