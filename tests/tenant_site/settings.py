"""A second host: its own cluster model, its own user model, and nothing else."""

from example_project.mail import make_email_settings
from tests.databases import database

SECRET_KEY = "only-for-tests"
USE_TZ = True
DATABASES = {"default": database()}
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "notifications",
    "tests.tenant_site.estates",
]
AUTH_USER_MODEL = "estates.Resident"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
vars().update(make_email_settings({"EMAIL_BACKEND": "django.core.mail.backends.locmem.EmailBackend"}))
NOTIFICATIONS_CLUSTER_MODEL = "estates.Estate"
NOTIFICATIONS = {"MEMBERS_OF": "tests.tenant_site.estates.models.residents_of"}
