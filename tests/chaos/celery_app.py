"""The Celery app, for the workers, which are observed like all others, and for whoever calls them."""

import os
from pathlib import Path

import django
from celery import Celery

django.setup()

from tests.chaos import lies  # noqa: E402 - models are ready only now
from tests.chaos.failpoints import write_down  # noqa: E402
from tests.chaos.journal import Journal  # noqa: E402

app = Celery("chaos")
app.config_from_object("django.conf:settings", namespace="CELERY")
if "KLAXON_JOURNAL" in os.environ:
    write_down(Journal(Path(os.environ["KLAXON_JOURNAL"])))
    lies.tell(os.environ["KLAXON_LIE"])
