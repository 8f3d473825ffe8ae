"""The URLs of the pages that benchmarks request."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [path("admin/", admin.site.urls), path("notifications/", include("notifications.urls"))]
