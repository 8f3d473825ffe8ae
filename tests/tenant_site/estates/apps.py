from django.apps import AppConfig


class EstatesConfig(AppConfig):
    name = "tests.tenant_site.estates"
    label = "estates"
