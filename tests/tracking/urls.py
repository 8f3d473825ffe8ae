from django.urls import include, path

from tests.urls import urlpatterns as site

urlpatterns = [*site, path("anymail/", include("anymail.urls"))]
