"""The URLs of the link in emails and of rotas. Klaxon's own ``urls.py`` includes them."""

from django.urls import path

from notifications.escalation.pages import rotas, views

urlpatterns = [
    path("acknowledge/<str:token>/", views.Acknowledge.as_view(), name="acknowledge"),
    path("rotas/", rotas.RotaList.as_view(), name="rotas"),
    path("rotas/<int:pk>/", rotas.RotaCalendar.as_view(), name="rota"),
    path("rotas/<str:token>.ics", rotas.show_feed, name="rota-feed"),
]
