from django.apps import AppConfig


class CoachConfig(AppConfig):
    name = "example_project.coach"
    label = "coach"
    verbose_name = "Coach"
    default_auto_field = "django.db.models.BigAutoField"
