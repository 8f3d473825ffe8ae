"""A worker that is a program of its own, such as the real command, is observed too: its environment says so."""

import os
from pathlib import Path

from django.apps import AppConfig


class ChaosConfig(AppConfig):
    name = "tests.chaos"

    def ready(self) -> None:
        from tests.chaos import lies
        from tests.chaos.failpoints import write_down
        from tests.chaos.journal import Journal

        if "KLAXON_JOURNAL" in os.environ:
            write_down(Journal(Path(os.environ["KLAXON_JOURNAL"])))
            lies.tell(os.environ["KLAXON_LIE"])
