"""The site's own email backend, set for a test as the Django that runs has it."""

from typing import Any

from example_project.mail import SMTP, make_email_settings


def use_backend(settings: Any, path: str = SMTP, port: int = 25) -> None:
    """Set ``EMAIL_BACKEND`` and its relatives, or ``MAILERS``."""
    given = {"EMAIL_BACKEND": path, "EMAIL_HOST": "127.0.0.1", "EMAIL_PORT": port}
    for name, value in make_email_settings(given).items():
        setattr(settings, name, value)
