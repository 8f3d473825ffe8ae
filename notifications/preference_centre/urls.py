"""The URLs of the preference centre, in the namespace ``notifications``."""

from django.urls import path

from notifications.preference_centre import views

urlpatterns = [
    path("", views.Preferences.as_view(), name="preferences"),
    path("link/<str:token>/", views.LinkPreferences.as_view(), name="preferences-link"),
    path("address/<str:token>/", views.ConfirmAddress.as_view(), name="confirm-address"),
]
