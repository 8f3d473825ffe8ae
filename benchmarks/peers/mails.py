"""The mails that Klaxon would send, rendered in advance for Django and django-post_office."""

from collections.abc import Iterator

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template import Context, Engine, Template

from notifications.models import Delivery


def build_mails() -> list[EmailMultiAlternatives]:
    """Return a mail for each delivery in the outbox, with the headers and bodies that Klaxon gives it."""
    engine = Engine.get_default()
    parts = [engine.get_template(f"notifications/bench_mail/email.{part}") for part in ("subject.txt", "txt", "html")]
    rows = Delivery.objects.select_related("notification", "recipient").order_by("pk").iterator(chunk_size=2000)
    return [build_mail(row, *render(parts, row)) for row in rows]


def render(parts: list[Template], row: Delivery) -> Iterator[str]:
    variables = {
        **row.notification.values,
        "recipient": row.recipient,
        "base_url": settings.NOTIFICATIONS["BASE_URL"],
    }
    for part in parts:
        yield part.render(Context(variables, autoescape=part.name.endswith("html"))).strip()


def build_mail(row: Delivery, subject: str, text: str, html: str) -> EmailMultiAlternatives:
    headers = {
        "Message-ID": f"<{row.notification.correlation_id}.{row.pk}@example.com>",
        "Auto-Submitted": "auto-generated",
    }
    message = EmailMultiAlternatives(subject, text + "\n", to=[row.address], headers=headers)
    message.attach_alternative(html + "\n", "text/html")
    return message
