"""What a refusal means: answers of real servers, by stage, code and words. (The wording is our own.)"""

import smtplib

import pytest

from notifications.channels.email_errors import while_opening, while_sending
from notifications.channels.smtp_replies import Reply, Stage, meaning_of
from notifications.outcomes import Blame, Suppress, Verdict

PERMANENT, CONFIGURATION, TEMPORARY = Verdict.PERMANENT, Verdict.CONFIGURATION, Verdict.TEMPORARY
NO, NOW, REPEATED, AMONG = Suppress.NO, Suppress.NOW, Suppress.REPEATED, Suppress.AMONG_ACCEPTED
DURING_A_MAIL = (Stage.RCPT, Stage.DATA, Stage.END)


def meaning(stage, said):
    code, _space, words = said.partition(" ")
    return meaning_of(stage, Reply.of(int(code), words))


OUR_OWN = [
    # What may be sent, and how fast.
    "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients",
    "550 5.4.5 Daily user sending limit exceeded",
    "550 5.4.5 <bob@example.com>: Recipient address rejected: Domain Sending Quota Exceeded",
    "550 5.7.1 <bob@example.com>: Recipient address rejected: Policy rejection; message quota exceeded",
    "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; the message cannot be submitted",
    "554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException; WASCL UserAction verdict is not None",
    "554 5.2.252 SendAsDenied; shop@example.com not allowed to send as other@example.com",
    "550 Domain example.com has exceeded the max emails per hour (101/100 (101%)) allowed. Message discarded.",
    "550 Domain example.com has exceeded the max defers and failures per hour (5/5 (100%)) allowed.",
    "550 5.7.233 Tenant exceeded the rate for external recipients",
    "550 You have sent too many messages today",
    "550 Maximum number of messages reached for today",
    "550 Outgoing mail from you has been suspended",
    "550 5.7.1 Service unavailable, the domain is listed by Spamhaus",
    "550 Hourly message limit reached for this account",
    "550 5.5.3 Too many recipients",
    "554 Throttling failure: Daily message quota exceeded",
    "550 5.1.1 Sending limit exceeded",
    "550 5.1.1 Too many messages; try again later",
    "552 5.2.2 You are sending more than your quota of outgoing mails",
    # Relaying and logging in.
    "554 5.7.1 <bob@example.com>: Relay access denied",
    "550 5.7.1 Unable to relay",
    "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain",
    "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)",
    "550 relay not permitted",
    "550 Relaying denied",
    "551 5.7.1 We do not relay",
    "530 5.7.0 Must issue a STARTTLS command first",
    "550 5.7.1 Authentication required",
    "503 5.5.1 Error: authentication required before RCPT",
    "550 SMTP AUTH is required for message submission on this port",
    "550 5.7.60 Client does not have permissions to send as this sender",
    "530 5.7.57 Client not authenticated to send mail",
    "503 Bad sequence of commands",
    # The sender, the host, the domain, the tenant.
    "550 5.1.8 Access denied, bad outbound sender",
    "553 5.1.8 <shop@example.com>: Sender address rejected: Domain not found",
    "553 5.7.1 <shop@example.com>: Sender address rejected: not owned by user shop",
    "554 Message rejected: Email address is not verified. The following identities failed the check",
    "550 Sender verify failed",
    "550 5.7.26 The sender is unauthenticated",
    "550 5.7.25 The sending IP address has no PTR record",
    "550 5.7.606 Access denied, banned sending IP",
    "550 5.7.649 Access denied, banned sending IP",
    "550 5.7.705 Access denied, tenant has exceeded threshold",
    "550 5.7.750 Service unavailable. Client blocked from sending from unregistered domains",
    "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org",
    "554 5.7.1 <unknown[192.0.2.1]>: Client host rejected: Access denied",
    "550 5.7.1 Our IP has a poor reputation",
    "504 5.5.2 <shop>: Helo command rejected: need fully-qualified hostname",
    "550 5.7.1 Rejected by the DMARC policy of the domain",
]


@pytest.mark.parametrize("stage", DURING_A_MAIL, ids=lambda stage: stage.name)
@pytest.mark.parametrize("said", OUR_OWN)
def test_what_speaks_of_the_sending_site_costs_no_recipient_anything(said, stage):
    found = meaning(stage, said)
    assert (found.verdict, found.blames, found.suppress) == (CONFIGURATION, Blame.PROVIDER, NO)


ONE_MAIL = [
    "550 5.7.1 Your message was not sent because it was blocked as spam",
    "550 5.7.129 The recipient only takes mail from some senders",
    "550 5.7.1 Message rejected as spam by content filtering",
    "550 5.7.1 This message is likely unsolicited mail",
    "554 5.7.1 The message contains a link to a blacklisted site",
    "550 5.7.1 Blocked by policy",
    "550 5.7.0 Refused",
    "554 5.7.0 The message has a virus",
    "554 5.2.0 Refused by the store driver",
    "554 5.6.0 Malformed content",
    "550 5.6.7 Addresses that are not ASCII are not supported",
    "554 Transaction failed",
    "554 delivery error",
    "550 5.4.1 Recipient address rejected: Access denied",
    "550 5.7.703 Blocked by the block list of the organisation",
    "550 5.7.124 The sender is not in the list of allowed senders of the group",
    "550 5.7.133 Sender not authenticated for group",
    "550 5.7.1 The recipient has blocked this sender",
    "550 5.7.193 Not permitted",
    "552 5.3.4 The message exceeds the maximum size that may be sent",
    "552 5.2.3 The message exceeds the size limit",
    "550 5.5.0 Requested action not taken: mailbox unavailable",
    "571 Refused",
]


@pytest.mark.parametrize("stage", DURING_A_MAIL, ids=lambda stage: stage.name)
@pytest.mark.parametrize("said", ONE_MAIL)
def test_what_refuses_one_mail_speaks_against_that_mail_only(said, stage):
    found = meaning(stage, said)
    assert (found.verdict, found.blames, found.suppress) == (PERMANENT, Blame.MESSAGE, NO)


@pytest.mark.parametrize("stage", DURING_A_MAIL, ids=lambda stage: stage.name)
@pytest.mark.parametrize(
    ("said", "suppress"),
    [
        ("550 5.1.1 The account that you tried to reach does not exist", NOW),
        ("550 5.1.1 <bob@example.com>: Recipient address rejected: User unknown in virtual mailbox table", NOW),
        ("550 5.1.1 <limit@spam-relay.example>: unknown; see https://example.com/too-many-senders", NOW),
        ("553 5.1.2 No such domain", NOW),
        ("501 5.1.3 Bad syntax of the recipient's address", NOW),
        ("550 5.1.6 The mailbox has moved", NOW),
        ("550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found by SMTP address lookup", NOW),
        ("556 5.1.10 The domain has a null MX", NOW),
        ("550 5.2.1 The mailbox is disabled", REPEATED),
        ("550 5.2.1 The user is receiving mail at a rate that prevents delivery", NO),
        ("550 5.2.2 The mailbox is full", NO),
        ("552 5.2.2 The account is over quota", NO),
        ("550 5.2.121 The recipient's limit of messages per hour is exceeded", NO),
        ("550 5.2.122 The recipient has exceeded their limit of messages per hour", NO),
        ("550 5.1.0 Address rejected", NO),
        ("550 5.1.4 Ambiguous", NO),
        ("550 5.4.4 No route to the domain", NO),
        ("550 5.4.310 The domain does not exist", NO),
        ("550 5.1.1 Blocked", NO),
        ("550 5.1.1 Busy; try again later", NO),
        ("550 5.1.6 Spam not accepted", NO),
        ("550 5.1.1 Rejected by policy", NO),
    ],
)
def test_what_speaks_of_one_mailbox(said, suppress, stage):
    found = meaning(stage, said)
    assert (found.verdict, found.blames, found.suppress) == (PERMANENT, Blame.RECIPIENT, suppress)


@pytest.mark.parametrize(
    ("said", "suppress"),
    [
        ("550 No such user here", AMONG),
        ("550 <bob@example.com> User unknown", AMONG),
        ("550 Unrouteable address", AMONG),
        ("550 Administrative prohibition", NO),
        ("550 Your address is listed", NO),
        ("550 You are sending too fast", NO),
        ("550 Rejected: spam", NO),
        ("550 Access denied", NO),
        ("550 Account suspended", NO),
        ("550 Mailbox temporarily unavailable", NO),
    ],
)
def test_a_bare_550_condemns_only_what_the_engine_finds_among_accepted_mails(said, suppress):
    found = meaning(Stage.RCPT, said)
    assert (found.verdict, found.blames, found.suppress) == (PERMANENT, Blame.MESSAGE, suppress)
    assert meaning(Stage.END, said).suppress is NO


@pytest.mark.parametrize(
    ("said", "blames"),
    [
        ("450 4.2.0 <bob@example.com>: Recipient address rejected: Greylisted for 5 minutes", Blame.RECIPIENT),
        ("451 4.7.1 Greylisting in action, please come back later", Blame.RECIPIENT),
        ("450 4.1.1 <bob@example.com>: Recipient address rejected: unverified address", Blame.RECIPIENT),
        ("450 4.2.1 The user is receiving mail too quickly", Blame.RECIPIENT),
        ("450 4.2.1 Peak SMTP relay limit exceeded for customer", Blame.PROVIDER),
        ("452 4.2.2 The mailbox is full", Blame.RECIPIENT),
        ("452 4.3.1 Insufficient system storage", Blame.PROVIDER),
        ("452 4.5.3 Too many recipients", Blame.PROVIDER),
        ("421 4.7.28 An unusual rate of unsolicited mail comes from your IP address", Blame.PROVIDER),
        ("421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred", Blame.PROVIDER),
        ("450 4.7.26 The sender is unauthenticated", Blame.PROVIDER),
        ("451 4.7.500 Server busy. Please try again later", Blame.PROVIDER),
        ("451 4.7.650 The mail server has been temporarily rate limited", Blame.PROVIDER),
        ("450 4.7.1 Error: too much mail from 192.0.2.1; client host", Blame.PROVIDER),
        ("454 Throttling failure: Maximum sending rate exceeded", Blame.PROVIDER),
        ("454 4.7.1 Relay access denied", Blame.PROVIDER),
        ("451 Domain example.com has exceeded the max emails per hour (101/100)", Blame.PROVIDER),
        ("450 4.7.1 Sender address rejected: Deferring: Too many messages from sender in last 60", Blame.PROVIDER),
        ("450 4.1.8 Sender address rejected: Domain not found", Blame.PROVIDER),
        ("451 4.3.0 Temporary lookup failure", Blame.PROVIDER),
    ],
)
def test_a_refusal_for_now_speaks_against_the_mailbox_or_the_server(said, blames):
    found = meaning(Stage.RCPT, said)
    assert (found.verdict, found.blames, found.suppress) == (TEMPORARY, blames, NO)


@pytest.mark.parametrize(
    ("said", "verdict", "blames"),
    [
        ("550 5.1.1 No such sender", CONFIGURATION, Blame.PROVIDER),
        ("550 5.1.7 Malformed", CONFIGURATION, Blame.PROVIDER),
        ("501 5.1.0 Refused", CONFIGURATION, Blame.PROVIDER),
        ("552 5.3.4 Too big", PERMANENT, Blame.MESSAGE),
        ("552 Too big", PERMANENT, Blame.MESSAGE),
        ("550 5.3.4 Too big", PERMANENT, Blame.MESSAGE),
        ("552 5.2.3 Longer than the limit", PERMANENT, Blame.MESSAGE),
        ("552 Sending quota exceeded", CONFIGURATION, Blame.PROVIDER),
        ("553 5.6.7 Not ASCII", PERMANENT, Blame.MESSAGE),
        ("452 4.3.1 No space", TEMPORARY, Blame.PROVIDER),
        ("450 4.2.0 Greylisted", TEMPORARY, Blame.PROVIDER),
    ],
)
def test_at_the_sender(said, verdict, blames):
    found = meaning(Stage.MAIL, said)
    assert (found.verdict, found.blames, found.suppress) == (verdict, blames, NO)


@pytest.mark.parametrize(
    ("said", "verdict"),
    [("554 5.7.1 Blocked", CONFIGURATION), ("535 5.7.8 Wrong", CONFIGURATION), ("454 4.7.0 Not now", TEMPORARY)],
)
def test_before_there_is_a_mail(said, verdict):
    found = meaning(Stage.OPENING, said)
    assert (found.verdict, found.blames, found.suppress) == (verdict, Blame.PROVIDER, NO)


@pytest.mark.parametrize(
    ("code", "said", "label"),
    [
        (550, b"5.7.1 Refused", "550 5.7.1"),
        (550, b"Refused", "550"),
        (550, b"Refused (#5.1.1)", "550 5.1.1"),
        (550, b"4.2.2 Full", "550 4.2.2"),
        (550, b"by version 4.96.1 of 2.0.1", "550"),
        (550, b"at 10.5.7.1", "550"),
        (550, b"5.7.26 first\n5.7.26 second", "550 5.7.26"),
        (-1, b"What?", ""),
    ],
)
def test_two_answers_are_the_same_if_their_codes_are(code, said, label):
    assert Reply.of(code, said).label == label


def test_a_receipt_says_what_the_answer_means():
    refused = smtplib.SMTPRecipientsRefused({"bob@example.com": (550, b"5.1.1 No such mailbox")})
    receipt = while_sending(None, refused, "smtp", False)
    assert (receipt.code, receipt.blames, receipt.suppress) == ("550 5.1.1", Blame.RECIPIENT, NOW)
    receipt = while_opening(None, smtplib.SMTPConnectError(554, b"5.7.1 Blocked"), "smtp")
    assert (receipt.code, receipt.verdict) == ("554 5.7.1", CONFIGURATION)
