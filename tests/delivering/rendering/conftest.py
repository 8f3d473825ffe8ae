import pytest


@pytest.fixture
def templates(settings):
    """Add templates to those of the installed apps."""

    def templates(files):
        loaders = [("django.template.loaders.locmem.Loader", files), "django.template.loaders.app_directories.Loader"]
        settings.TEMPLATES = [
            {"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {"loaders": loaders}}
        ]

    return templates
