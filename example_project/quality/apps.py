from django.apps import AppConfig


class QualityConfig(AppConfig):
    name = "example_project.quality"
    label = "quality"
    verbose_name = "Test laboratory"
