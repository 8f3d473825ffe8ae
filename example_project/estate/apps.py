from django.apps import AppConfig


class EstateConfig(AppConfig):
    name = "example_project.estate"
    label = "estate"
    verbose_name = "Housing estate"
    default_auto_field = "django.db.models.BigAutoField"
