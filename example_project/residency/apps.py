from django.apps import AppConfig


class ResidencyConfig(AppConfig):
    name = "example_project.residency"
    label = "residency"
    verbose_name = "Medical residency"
    default_auto_field = "django.db.models.BigAutoField"
