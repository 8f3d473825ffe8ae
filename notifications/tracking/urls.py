"""The URLs of tracked images and links. Klaxon's own ``urls.py`` includes them."""

from django.urls import path

from notifications.tracking import views

urlpatterns = [
    path("o/<str:token>", views.show_image, name="open"),
    path("c/<str:token>", views.follow_link, name="click"),
]
