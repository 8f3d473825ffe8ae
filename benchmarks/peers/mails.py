"""The mails that Klaxon would send, as Django alone and django-post_office get them: rendered and built already."""

from collections.abc import Iterator

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template import Context, Engine, Template

from notifications.models import Delivery


def mails() -> list[EmailMultiAlternatives]:
    """One for each delivery in the outbox, with the same headers and bodies."""
    engine = Engine.get_default()
    parts = [engine.get_template(f"notifications/bench_mail/email.{part}") for part in ("subject.txt", "txt", "html")]
    rows = Delivery.objects.select_related("notification", "recipient").order_by("pk").iterator(chunk_size=2000)
    return [mail(row, *rendered(parts, row)) for row in rows]


def rendered(parts: list[Template], row: Delivery) -> Iterator[str]:
    words = {
        **row.notification.values,
        "recipient": row.recipient,
        "base_url": settings.NOTIFICATIONS["BASE_URL"],
    }
    for part in parts:
        yield part.render(Context(words, autoescape=part.name.endswith("html"))).strip()


def mail(row: Delivery, subject: str, text: str, html: str) -> EmailMultiAlternatives:
    headers = {
        "Message-ID": f"<{row.notification.correlation_id}.{row.pk}@example.com>",
        "Auto-Submitted": "auto-generated",
    }
    message = EmailMultiAlternatives(subject, text + "\n", to=[row.address], headers=headers)
    message.attach_alternative(html + "\n", "text/html")
    return message
