"""The app that holds the events and templates."""

from django.apps import AppConfig

from benchmarks.discard import discarding


class BenchmarksConfig(AppConfig):
    name = "benchmarks"

    def ready(self) -> None:
        discarding()
