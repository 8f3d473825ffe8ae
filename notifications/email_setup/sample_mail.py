"""A test mail, sent through a provider as notifications are."""

import uuid
from collections.abc import Iterator

from django.core.mail import EmailMultiAlternatives

from notifications import conf
from notifications.channels.email import EmailChannel
from notifications.email_setup.findings import Finding, Status
from notifications.outcomes import Receipt, Verdict

TEXT = """\
This is the test mail of manage.py check_email_setup.

It was sent through the provider {provider!r} of the channel {channel!r}. To examine its DKIM signature, save it as it
arrived, with all headers, and run:

    python manage.py check_email_setup --signed-mail FILE
{note}"""
NOTE = "\nIts headers for unsubscribing are only an example, so that the signature covers them. They do nothing.\n"


def send_sample(channel: EmailChannel, name: str, provider: str, address: str) -> Iterator[Finding]:
    """Send a test mail to an address and report the answer of the provider."""
    [receipt] = channel.send([build_sample(channel, name, provider, address)])
    channel.close()
    yield _report(f"Test mail to {address}", receipt)


def build_sample(channel: EmailChannel, name: str, provider: str, address: str) -> EmailMultiAlternatives:
    """Return the test mail. It has the headers for unsubscribing if the site has an https URL."""
    headers = {"Message-ID": f"<{uuid.uuid4().hex}@{channel.sender.domain}>", "Auto-Submitted": "auto-generated"}
    base_url = conf.current().base_url
    has_headers = base_url.startswith("https://")
    if has_headers:
        headers["List-Unsubscribe"] = f"<{base_url}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    return EmailMultiAlternatives(
        subject=f"Test of the email setup of {channel.sender.domain}",
        body=TEXT.format(channel=name, provider=provider, note=NOTE if has_headers else ""),
        from_email=channel.sender.from_email,
        to=[address],
        reply_to=channel.sender.reply_to,
        headers=headers,
    )


def _report(subject: str, receipt: Receipt) -> Finding:
    if receipt.verdict is Verdict.ACCEPTED:
        return Finding(Status.OK, subject, f"The provider accepted it as {receipt.provider_message_id}.")
    sentence = f"The provider did not accept it ({receipt.verdict.value}): {receipt.error}"
    return Finding(Status.ERROR, subject, sentence, "See the pages about email and SMTP errors.")
