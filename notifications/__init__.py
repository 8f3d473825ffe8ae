"""django-klaxon: notifications for Django that are never lost."""

__version__ = "0.1.0"
