from django.contrib import admin
from django.contrib.auth import views
from django.urls import include, path

from tests.live_site.pages import host, styles
from tests.live_site.policy import report

urlpatterns = [
    path("", host),
    path("host.css", styles),
    path("csp-report/", report),
    path("login/", views.LoginView.as_view(template_name="host.html", next_page="/")),
    path("logout/", views.LogoutView.as_view(next_page="/")),
    path("admin/", admin.site.urls),
    path("notifications/", include("notifications.urls")),
]
