"""The URL of the page with the content of a sensitive notification, in the namespace ``notifications``."""

from django.urls import path

from notifications.sensitive import views

urlpatterns = [path("<int:pk>/", views.Content.as_view(), name="sensitive")]
