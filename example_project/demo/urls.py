from django.urls import path

from example_project.demo import views

urlpatterns = [
    path("", views.home, name="home"),
    path("mail/", views.mails, name="mails"),
    path("mail/<slug:name>/", views.mail, name="mail"),
    path("mail/<slug:name>/body/", views.body, name="mail-body"),
]
