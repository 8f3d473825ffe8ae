"""The app that contains the events and templates."""

from django.apps import AppConfig

from benchmarks.discard import get_logger


class BenchmarksConfig(AppConfig):
    name = "benchmarks"

    def ready(self) -> None:
        get_logger()
