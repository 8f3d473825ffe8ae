"""Failures of an SMTP server for one mail of several, and their outcomes: the table on the email channel's page."""

import re
from dataclasses import dataclass

from notifications.outcomes import Blame, Suppress
from tests.channels.scripted import RESET, SILENCE

TEMPORARY, CONFIGURATION, PERMANENT, LOST = "temporary", "configuration", "permanent", "lost_contact"
NO, NOW, BLOCKED = Suppress.NO, Suppress.NOW, Suppress.BLOCKED
REPEATED, AMONG_ACCEPTED = Suppress.REPEATED, Suppress.AMONG_ACCEPTED
PROVIDER, MAILBOX, MESSAGE, QUIET = Blame.PROVIDER, Blame.RECIPIENT, Blame.MESSAGE, Blame.SILENCE
ON_THE_PAGE = {
    NO: "no",
    NOW: "yes",
    BLOCKED: "yes, as blocked",
    REPEATED: "after the third",
    AMONG_ACCEPTED: "among accepted mails",
    PROVIDER: "server",
    MAILBOX: "mailbox",
    MESSAGE: "mailbox or mail",
    QUIET: "server (silent)",
}


@dataclass(frozen=True)
class Row:
    """The outcome for a mail and its recipient's address if the server does ``fault`` at ``stage``.

    ``blames``: the cause of the failure.
    """

    stage: str
    fault: str
    verdict: str
    suppress: Suppress = NO
    blames: Blame = PROVIDER

    def __str__(self):
        return f"{self.stage}-{self.fault}"

    @property
    def state(self):
        return "dead" if self.verdict == PERMANENT else "retry"

    @property
    def ends_the_conversation(self):
        return self.fault in (RESET, SILENCE) or self.fault.startswith("421")

    @property
    def stops_the_provider(self):
        return self.blames is QUIET or (self.verdict, self.blames) == (CONFIGURATION, PROVIDER)

    @property
    def is_tried_twice(self):
        """On a used connection, a bare refusal may be about the connection."""
        return (
            self.stage == "RCPT"
            and self.fault.startswith("5")
            and not re.search(r"(?<!\d\.)5\.\d+\.\d+(?!\.)", self.fault)
        )

    @property
    def may_need_new_connection(self):
        """On a used connection, the mail is sent again immediately on a new one."""
        return self.fault == RESET or self.fault.startswith("421")

    def format_page_row(self):
        state = "`retry` or `unknown`" if self.verdict == LOST else f"`{self.state}`"
        fault = self.fault if self.fault in (RESET, SILENCE) else f"`{self.fault}`"
        cells = f"{ON_THE_PAGE[self.suppress]} | {ON_THE_PAGE[self.blames]}"
        return f"| {self.stage} | {fault} | {state} | `{self.verdict}` | {cells} |"


OPENING = [
    Row("greeting", "421 4.3.2 Closing down", TEMPORARY),
    Row("greeting", "554 No SMTP service here", CONFIGURATION),
    Row("greeting", "554 5.7.1 Your address is blocked", CONFIGURATION),
    Row("greeting", "What do you want?", TEMPORARY),
    Row("greeting", RESET, TEMPORARY),
    Row("greeting", SILENCE, TEMPORARY, blames=QUIET),
    Row("EHLO", "421 4.3.2 Closing down", TEMPORARY),
    Row("EHLO", "550 5.7.1 Who are you?", CONFIGURATION),
    Row("EHLO", RESET, TEMPORARY),
    Row("EHLO", SILENCE, TEMPORARY, blames=QUIET),
    Row("STARTTLS", "454 4.7.0 TLS not available now", TEMPORARY),
    Row("STARTTLS", "502 5.5.1 Not implemented", CONFIGURATION),
    Row("STARTTLS", RESET, TEMPORARY),
    Row("handshake", "no TLS here", CONFIGURATION),
    Row("handshake", RESET, TEMPORARY),
    Row("handshake", SILENCE, TEMPORARY, blames=QUIET),
    Row("AUTH", "421 4.3.2 Closing down", TEMPORARY),
    Row("AUTH", "454 4.7.0 Cannot check that now", TEMPORARY),
    Row("AUTH", "534 5.7.9 Too weak", CONFIGURATION),
    Row("AUTH", "535 Wrong password", CONFIGURATION),
    Row("AUTH", "535 5.7.8 Wrong password", CONFIGURATION),
    Row("AUTH", RESET, TEMPORARY),
    Row("AUTH", SILENCE, TEMPORARY, blames=QUIET),
]
ENVELOPE = [
    Row("MAIL", "421 4.7.0 Too many messages", TEMPORARY),
    Row("MAIL", "450 4.1.8 Your domain cannot be looked up", TEMPORARY),
    Row("MAIL", "451 4.3.0 Try later", TEMPORARY),
    Row("MAIL", "452 4.3.1 Disk full", TEMPORARY),
    Row("MAIL", "530 5.7.0 Log in first", CONFIGURATION),
    Row("MAIL", "535 5.7.8 Log in again", CONFIGURATION),
    Row("MAIL", "550 Not you", CONFIGURATION),
    Row("MAIL", "550 5.1.1 No such sender", CONFIGURATION),
    Row("MAIL", "550 5.7.1 Not you", CONFIGURATION),
    Row("MAIL", "552 5.3.4 Too big", PERMANENT, blames=MESSAGE),
    Row("MAIL", "554 Not you", CONFIGURATION),
    Row("MAIL", "What?", TEMPORARY),
    Row("MAIL", RESET, TEMPORARY),
    Row("MAIL", SILENCE, TEMPORARY, blames=QUIET),
    Row("RCPT", "421 4.3.2 Closing down", TEMPORARY),
    Row("RCPT", "421 Too many mails", TEMPORARY),
    Row("RCPT", "450 Greylisted", TEMPORARY, blames=MAILBOX),
    Row("RCPT", "450 4.2.0 Greylisted", TEMPORARY, blames=MAILBOX),
    Row("RCPT", "450 4.1.8 Your domain cannot be looked up", TEMPORARY),
    Row("RCPT", "450 4.7.1 Greylisted", TEMPORARY, blames=MAILBOX),
    Row("RCPT", "451 Try later", TEMPORARY, blames=MAILBOX),
    Row("RCPT", "451 4.3.0 Try later", TEMPORARY),
    Row("RCPT", "452 Too little storage", TEMPORARY),
    Row("RCPT", "452 4.3.1 Disk full", TEMPORARY),
    Row("RCPT", "452 4.2.2 Mailbox full", TEMPORARY, blames=MAILBOX),
    Row("RCPT", "530 Log in first", CONFIGURATION),
    Row("RCPT", "535 5.7.8 Log in again", CONFIGURATION),
    Row("RCPT", "550 No such mailbox", PERMANENT, AMONG_ACCEPTED, MESSAGE),
    Row("RCPT", "550 No mailbox for 10.5.7.1 or 5.7.1.9", PERMANENT, AMONG_ACCEPTED, MESSAGE),
    Row("RCPT", "550 5.1.1 No such mailbox", PERMANENT, NOW, MAILBOX),
    Row("RCPT", "550 5.1.8 Your domain does not exist", CONFIGURATION),
    Row("RCPT", "550 5.2.1 Mailbox disabled", PERMANENT, REPEATED, MAILBOX),
    Row("RCPT", "550 5.7.1 Blocked by policy", CONFIGURATION, blames=MESSAGE),
    Row("RCPT", "550 Rejected (5.7.1 by policy)", CONFIGURATION, blames=MESSAGE),
    Row("RCPT", "552 Mailbox full", PERMANENT, blames=MAILBOX),
    Row("RCPT", "552 5.2.2 Mailbox full", PERMANENT, REPEATED, MAILBOX),
    Row("RCPT", "553 5.1.2 No such domain", PERMANENT, NOW, MAILBOX),
    Row("RCPT", "554 Refused", PERMANENT, blames=MESSAGE),
    Row("RCPT", "550 5.7.1 Refused", PERMANENT, blames=MESSAGE),
    Row("RCPT", "550 5.7.2 Not from you", PERMANENT, BLOCKED, MESSAGE),
    Row("RCPT", "554 5.7.1 Relay access denied", CONFIGURATION, blames=MESSAGE),
    Row("RCPT", "What?", TEMPORARY),
    Row("RCPT", RESET, TEMPORARY),
    Row("RCPT", SILENCE, TEMPORARY, blames=QUIET),
]
CONTENT = [
    *(
        row
        for stage in ("DATA", "end of content")
        for row in [
            Row(stage, "421 4.3.2 Closing down", TEMPORARY),
            Row(stage, "450 4.2.0 Greylisted", TEMPORARY, blames=MAILBOX),
            Row(stage, "451 4.3.0 Try later", TEMPORARY),
            Row(stage, "452 4.3.1 Disk full", TEMPORARY),
            Row(stage, "550 Refused", PERMANENT, blames=MESSAGE),
            Row(stage, "550 5.1.1 No such mailbox", PERMANENT, NOW, MAILBOX),
            Row(stage, "550 5.7.1 Spam", PERMANENT, blames=MESSAGE),
            Row(stage, "552 Too big", PERMANENT, blames=MESSAGE),
            Row(stage, "554 Refused", PERMANENT, blames=MESSAGE),
        ]
    ),
    Row("DATA", "What?", TEMPORARY),
    Row("DATA", RESET, TEMPORARY),
    Row("DATA", SILENCE, TEMPORARY, blames=QUIET),
    Row("content", RESET, LOST),
    Row("content", SILENCE, LOST),
    Row("end of content", "What?", LOST),
    Row("end of content", RESET, LOST),
    Row("end of content", SILENCE, LOST),
]
