"""Mails about a mail that was sent, as servers write them: each names the mail by its Message-ID."""

from email.message import EmailMessage


def returned_headers(delivery):
    return (
        f"Received: from shop.example.com by mx.example.org; Mon, 1 Jun 2026 08:00:00 +0000\n"
        f"Message-ID: {delivery.provider_message_id}\nFrom: shop@example.com\nTo: {delivery.address}\nSubject: News\n"
    )


def status_notification(
    delivery,
    action="failed",
    status="5.1.1",
    diagnostic="smtp; 550 5.1.1 User unknown",
    recipient=None,
    original=None,
    message_id="<dsn.1@mx.example.org>",
    part="text/rfc822-headers",
    auto="auto-replied",
    fields_type="message/delivery-status",
    address_type="rfc822",
):
    """A delivery status notification (RFC 3464) in three parts, as Postfix and Exchange send it.

    :param recipient: the address that has failed, or a list of several.
    """
    fields = []
    for name in recipient if isinstance(recipient, list) else [recipient or delivery.address]:
        fields += [""] if fields else []
        fields += [f"Final-Recipient: {address_type}; {name}", f"Action: {action}", f"Status: {status}"]
        fields += [f"Original-Recipient: rfc822;{original}"] if original else []
        fields += [f"Diagnostic-Code: {diagnostic}"] if diagnostic else []
    lines = [
        "Return-Path: <>",
        "From: MAILER-DAEMON@mx.example.org (Mail Delivery System)",
        "To: shop@example.com",
        "Subject: Undelivered Mail Returned to Sender",
        f"Message-ID: {message_id}",
        "Date: Mon, 1 Jun 2026 10:00:00 +0200",
        f"Auto-Submitted: {auto}",
        "MIME-Version: 1.0",
        'Content-Type: multipart/report; report-type=delivery-status; boundary="=_b"',
        "",
        "--=_b",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        "This is the mail system at host mx.example.org. I'm sorry.",
        "",
        "--=_b",
        f"Content-Type: {fields_type}",
        "",
        "Reporting-MTA: dns; mx.example.org",
        "Arrival-Date: Mon, 1 Jun 2026 08:00:00 +0000 (UTC)",
        "",
        *fields,
        "",
        "--=_b",
        f"Content-Type: {part}",
        "",
        returned_headers(delivery) + ("\nthe text\n" if part == "message/rfc822" else ""),
        "--=_b--",
        "",
    ]
    return "\r\n".join(lines).encode()


def complaint(delivery, kind="abuse", message_id="<arf.1@isp.example.org>", redacted=True):
    """A complaint (RFC 5965), as feedback loops send it, with the address of the recipient blacked out."""
    headers = returned_headers(delivery)
    if redacted:
        headers = headers.replace(delivery.address, "redacted@isp.example.org")
    lines = [
        "From: staff@isp.example.org",
        "To: abuse@example.com",
        "Subject: Email Feedback Report",
        f"Message-ID: {message_id}",
        "Date: Tue, 2 Jun 2026 10:00:00 +0000",
        "MIME-Version: 1.0",
        'Content-Type: multipart/report; report-type=feedback-report; boundary="=_f"',
        "",
        "--=_f",
        "Content-Type: text/plain",
        "",
        "This is an abuse report for a mail received from IP 192.0.2.1.",
        "",
        "--=_f",
        "Content-Type: message/feedback-report",
        "",
        f"Feedback-Type: {kind}",
        "User-Agent: SomeISP/1.0",
        "Version: 1",
        "",
        "--=_f",
        "Content-Type: message/rfc822",
        "",
        headers,
        "the text",
        "--=_f--",
        "",
    ]
    return "\r\n".join(lines).encode()


def qmail_bounce(delivery, error="Sorry, no mailbox here by that name. (#5.1.1)"):
    """A mail of qmail, which has a format of its own and pastes the mail below the text."""
    return (
        "Return-Path: <>\nFrom: MAILER-DAEMON@old.example.org\nTo: shop@example.com\nSubject: failure notice\n"
        "Message-ID: <qmail.1@old.example.org>\nDate: 3 Jun 2026 10:00:00 -0000\n\n"
        "Hi. This is the qmail-send program at old.example.org.\n"
        "I'm afraid I wasn't able to deliver your message to the following addresses.\n"
        "This is a permanent error; I've given up. Sorry it didn't work out.\n\n"
        f"<{delivery.address}>:\n{error}\n\n"
        "--- Below this line is a copy of the message.\n\n"
        f"Return-Path: <shop@example.com>\n{returned_headers(delivery)}\nthe text\n"
    ).encode()


def exim_bounce(delivery):
    """A mail of Exim, with the addresses in a header."""
    return (
        f"Return-Path: <>\nX-Failed-Recipients: {delivery.address}\nAuto-Submitted: auto-replied\n"
        "From: Mail Delivery System <Mailer-Daemon@old.example.org>\nTo: shop@example.com\n"
        "Subject: Mail delivery failed: returning message to sender\nMessage-ID: <exim.1@old.example.org>\n"
        "Date: Wed, 03 Jun 2026 10:00:00 +0000\n\n"
        "This message was created automatically by mail delivery software.\n\n"
        "A message that you sent could not be delivered to one or more of its\n"
        f"recipients. This is a permanent error. The following address(es) failed:\n\n  {delivery.address}\n"
        "    SMTP error from remote mail server after RCPT TO:\n    550 5.1.1 unknown user\n\n"
        "------ This is a copy of the message, including all the headers. ------\n\n"
        f"{returned_headers(delivery)}\nthe text\n"
    ).encode()


def absence_note(delivery):
    """An automatic answer of a person (RFC 3834), which names and quotes the mail."""
    note = EmailMessage()
    note["From"], note["To"], note["Subject"] = delivery.address, "shop@example.com", "Out of office: News"
    note["Message-ID"], note["In-Reply-To"] = "<note.1@example.com>", delivery.provider_message_id
    note["References"], note["Auto-Submitted"] = delivery.provider_message_id, "auto-replied"
    note["Date"] = "Wed, 03 Jun 2026 10:00:00 +0000"
    note.set_content(f"I am away until Monday.\n\n> Message-ID: {delivery.provider_message_id}\n> News\n")
    return note.as_bytes()
