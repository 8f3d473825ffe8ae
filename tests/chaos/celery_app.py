"""The Celery app of the workers."""

from celery import Celery

app = Celery("chaos")
app.config_from_object("django.conf:settings", namespace="CELERY")
