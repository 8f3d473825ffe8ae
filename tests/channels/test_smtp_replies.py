"""The meaning of refusals: replies of real servers by stage, code and text. (The texts are paraphrased.)"""

import smtplib

import pytest

from notifications.channels.email_errors import make_opening_receipt, make_sending_receipt
from notifications.channels.smtp_replies import Reply, Stage, find_meaning
from notifications.outcomes import Blame, Suppress, Verdict

PERMANENT, CONFIGURATION, TEMPORARY = Verdict.PERMANENT, Verdict.CONFIGURATION, Verdict.TEMPORARY
NO, NOW, REPEATED, AMONG = Suppress.NO, Suppress.NOW, Suppress.REPEATED, Suppress.AMONG_ACCEPTED
DURING_A_MAIL = (Stage.RCPT, Stage.DATA, Stage.END)


def meaning(stage, text):
    code, _space, words = text.partition(" ")
    return find_meaning(stage, Reply.of(int(code), words))


OUR_OWN = [
    "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients",
    "550 5.4.5 Daily user sending limit exceeded",
    "550 5.4.5 <bob@example.com>: Recipient address rejected: Domain Sending Quota Exceeded",
    "554 5.2.252 SendAsDenied; shop@example.com not allowed to send as other@example.com",
    "550 5.7.233 Tenant exceeded the rate for external recipients",
    "550 5.5.3 Too many recipients",
    "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain",
    "530 5.7.0 Must issue a STARTTLS command first",
    "550 5.7.60 Client does not have permissions to send as this sender",
    "530 5.7.57 Client not authenticated to send mail",
    "550 5.1.8 Access denied, bad outbound sender",
    "553 5.1.8 <shop@example.com>: Sender address rejected: Domain not found",
    "550 5.7.26 The sender is unauthenticated",
    "550 5.7.25 The sending IP address has no PTR record",
    "550 5.7.606 Access denied, banned sending IP",
    "550 5.7.649 Access denied, banned sending IP",
    "550 5.7.705 Access denied, tenant has exceeded threshold",
    "550 5.7.750 Service unavailable. Client blocked from sending from unregistered domains",
]


@pytest.mark.parametrize("stage", DURING_A_MAIL, ids=lambda stage: stage.name)
@pytest.mark.parametrize("text", OUR_OWN)
def test_codes_about_the_site_blame_no_recipient(text, stage):
    found = meaning(stage, text)
    assert (found.verdict, found.blames, found.suppress) == (CONFIGURATION, Blame.PROVIDER, NO)


@pytest.mark.parametrize("text", ["503 Bad sequence of commands", "503 5.5.1 Authentication required before RCPT"])
def test_the_order_of_commands_is_a_configuration_error_before_the_content(text):
    assert [meaning(stage, text).blames for stage in (Stage.RCPT, Stage.DATA)] == [Blame.PROVIDER, Blame.PROVIDER]
    assert meaning(Stage.END, text).blames is Blame.MESSAGE


@pytest.mark.parametrize("code", [500, 502, 503])
def test_no_command_is_out_of_order_at_the_end_of_the_content(code):
    found = meaning(Stage.END, f"{code} 5.0.0 Message rejected")
    assert (found.verdict, found.blames, found.suppress) == (PERMANENT, Blame.MESSAGE, NO)


IN_WORDS_ONLY = [
    "550 5.7.1 <bob@example.com>: Recipient address rejected: Policy rejection; message quota exceeded",
    "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; the message cannot be submitted",
    "554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException; WASCL UserAction verdict is not None",
    "550 Domain example.com has exceeded the max emails per hour (101/100 (101%)) allowed. Message discarded.",
    "550 Domain example.com has exceeded the max defers and failures per hour (5/5 (100%)) allowed.",
    "550 You have sent too many messages today",
    "550 Maximum number of messages reached for today",
    "550 Outgoing mail from you has been suspended",
    "550 5.7.1 Service unavailable, the domain is listed by Spamhaus",
    "550 Hourly message limit reached for this account",
    "554 Throttling failure: Daily message quota exceeded",
    "554 5.7.1 <bob@example.com>: Relay access denied",
    "550 5.7.1 Unable to relay",
    "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)",
    "550 relay not permitted",
    "550 Relaying denied",
    "551 5.7.1 We do not relay",
    "550 5.7.1 Authentication required",
    "550 SMTP AUTH is required for message submission on this port",
    "553 5.7.1 <shop@example.com>: Sender address rejected: not owned by user shop",
    "554 Message rejected: Email address is not verified. The following identities failed the check",
    "550 Sender verify failed",
    "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org",
    "554 5.7.1 <unknown[192.0.2.1]>: Client host rejected: Access denied",
    "550 5.7.1 Our IP has a poor reputation",
    "504 5.5.2 <shop>: Helo command rejected: need fully-qualified hostname",
    "550 5.7.1 Rejected by the DMARC policy of the domain",
    "550 5.4.6 Unusual sending activity detected. Please try after some time",
    "550 5.4.6 Outgoing server is blocked due to unusual activity",
    "553 Relaying disallowed as user@example.org",
    "550 Votre quota d'envoi est dépassé, réessayez dans une heure",
    "550 5.7.1 Vous avez envoyé trop de messages (200 par heure)",
    "550 Sie haben Ihr Tageslimit für den Versand erreicht",
    "550 5.7.0 Der Absender hat zu viele Nachrichten versendet",
    "550 5.7.1 Ihr Konto ist gesperrt",
    "550 5.7.1 Limite di invio superato per questo account",
    "550 5.7.1 Account bloccato",
    "550 5.7.1 Ha superado el límite de correos",
    "550 5.7.1 Cuenta bloqueada temporalmente",
    "550 Maximum credits exceeded",
    "550 5.7.1 Insufficient credit",
    "550 Account under review",
    "550 5.7.1 Your SMTP account is not yet activated",
    "554 5.7.1 This account has been blocked",
    "550 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using lists.example.com; see the following URL",
    "554 Blocked - see https://ipcheck.example.com/?ip=192.0.2.1",
    "554 Rejected - see https://www.spamhaus.org/query/ip/192.0.2.1",
    "550 5.7.1 Your access to submit messages to this e-mail system has been rejected.",
    "550 #5.7.1 Your access to this mail system was rejected",
    "550 Submitter failed to authenticate",
    "550 Please turn on SMTP Authentication in your mail client.",
    "550 Ip frequency limited",
    "550 User shop has an outgoing mail suspension",
    '550 Outgoing mail from "shop@example.com" has been suspended.',
    "550 email limit reached for user shop (1000)",
    "550 5.1.0 Sender blocked: BL000000 http://postmaster.example.net",
    "550 5.7.1 Unconfigured Sending Domain <example.com>",
    "550 5.5.0 Service refused, please try later",
    "550 User suspended",
    "550 Your address is listed",
    "550 You are sending too fast",
    "550 Mailbox temporarily unavailable",
    "550 5.7.1 RESOLVER.RST.AuthRequired; authentication required",
    "550 5.7.1 You are not authorized to send to this recipient",
    "554 5.7.1 <info@example.com>: Recipient address rejected: You are not permitted to send to this list",
    "550 5.7.1 Sender rejected: on the recipient's block list",
    "550 5.7.1 The user or domain that you are sending to (or from) has a policy that prohibited the mail",
    "550 5.7.1 Blocked by policy",
    "550 5.7.1 Your message was not sent because it was blocked as spam",
]


@pytest.mark.parametrize("stage", DURING_A_MAIL, ids=lambda stage: stage.name)
@pytest.mark.parametrize("text", IN_WORDS_ONLY)
def test_text_about_the_site_stops_no_provider_and_makes_no_dead_letter(text, stage):
    found = meaning(stage, text)
    assert (found.verdict, found.blames, found.suppress) == (CONFIGURATION, Blame.MESSAGE, NO)


ONE_MAIL = [
    "550 5.7.1 Message rejected as spam by content filtering",
    "550 5.7.1 This message is likely unsolicited mail",
    "554 5.7.1 The message contains a link to a blacklisted site",
    "550 5.7.0 Refused",
    "554 5.7.0 The message has a virus",
    "554 5.2.0 Refused by the store driver",
    "554 5.6.0 Malformed content",
    "550 5.6.7 Addresses that are not ASCII are not supported",
    "554 Transaction failed",
    "554 delivery error",
    "550 5.4.1 Recipient address rejected: Access denied",
    "550 5.7.1 The recipient has blocked this sender",
    "550 5.7.193 Not permitted",
    "552 5.3.4 The message exceeds the maximum size that may be sent",
    "552 5.2.3 The message exceeds the size limit",
    "550 5.5.0 Requested action not taken: mailbox unavailable",
    "571 Refused",
    "550 4.1.1 Unknown",
    "554 5.7.0 Reject, id=12345-01 - BANNED: .exe,.exe-ms,setup.exe",
    "550 5.7.1 Your message was rejected because it contains a banned word",
    "554 5.7.1 Rejected: link to a domain on a blacklist",
    "550 5.7.1 SpamAssassin: score 8.2, URIBL_BLACK, RCVD_IN_XBL",
    "550 rejected: This message was blocked by our content filter",
    "554 5.7.1 Message has 9.1 spam points, IP reputation ok",
    "554 Maximum email size exceeded",
    "550 5.7.1 Mailbox quota exceeded",
]


@pytest.mark.parametrize("stage", DURING_A_MAIL, ids=lambda stage: stage.name)
@pytest.mark.parametrize("text", ONE_MAIL)
def test_a_refusal_of_one_mail_blames_only_this_mail(text, stage):
    found = meaning(stage, text)
    assert (found.verdict, found.blames, found.suppress) == (PERMANENT, Blame.MESSAGE, NO)


@pytest.mark.parametrize("stage", DURING_A_MAIL, ids=lambda stage: stage.name)
@pytest.mark.parametrize(
    "text",
    [
        "550 5.7.2 Not from you",
        "550 5.7.129 The recipient only takes mail from some senders",
        "550 5.7.703 Blocked by the block list of the organisation",
        "550 5.7.124 The sender is not in the list of allowed senders of the group",
        "550 5.7.133 Sender not authenticated for group",
    ],
)
def test_a_mailbox_that_does_not_accept_this_sender_is_blocked(text, stage):
    found = meaning(stage, text)
    assert (found.verdict, found.blames, found.suppress) == (PERMANENT, Blame.MESSAGE, Suppress.BLOCKED)


@pytest.mark.parametrize("stage", DURING_A_MAIL, ids=lambda stage: stage.name)
@pytest.mark.parametrize(
    ("text", "suppress"),
    [
        ("550 5.1.1 The account that you tried to reach does not exist", NOW),
        ("550 5.1.1 <bob@example.com>: Recipient address rejected: User unknown in virtual mailbox table", NOW),
        ("550 5.1.1 <limit@spam-relay.example>: unknown; see https://example.com/too-many-senders", NOW),
        ("553 5.1.2 No such domain", NOW),
        ("501 5.1.3 Bad syntax of the recipient's address", NOW),
        ("550 5.1.6 The mailbox has moved", NOW),
        ("550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found by SMTP address lookup", NOW),
        ("556 5.1.10 The domain has a null MX", NOW),
        ("550 5.2.1 The user is receiving mail at a rate that prevents delivery", NO),
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
        ("552 5.2.2 Too many messages in mailbox", NO),
        ("552 5.2.2 Over quota, mail returned to sender", NO),
        ("552 5.2.2 You are sending more than your quota of outgoing mails", NO),
        ("550 5.2.1 The account has been suspended from sending and receiving", NO),
        ("550 5.2.1 You are sending too fast", NO),
        ("550 5.1.1 Sending limit exceeded", NO),
        ("550 5.1.1 Too many messages; try again later", NO),
        ("550 5.1.1 Please authenticate before sending", NO),
        ("550 5.1.2 We do not relay for you", NO),
        # The code is about the address, but the text is not.
        ("550 5.1.1 Mailbox full", NO),
        ("550 5.1.1 Recipient's disk quota used up", NO),
        ("550 5.1.1 Messages capped, upgrade your package", NO),
        ("550 5.1.1 Hourly mail cap hit", NO),
        ("550 5.1.1 The mail server of the recipient is unreachable", NO),
        ("550 5.1.1 Recipient verification failed: the directory server does not answer", NO),
        ("550 5.1.1 Could not verify", NO),
        ("550 5.1.2 Name server timeout", NO),
        ("550 5.1.2 The name server timed out", NO),
        ("550 5.1.3 Invalid From header", NO),
        ("553 5.1.2 Bad sender's system address", NO),
        ("501 5.1.3 Bad HELO name", NO),
        ("550 5.1.1 Greylisted", NO),
        ("550 5.1.1 You are too fast", NO),
        ("550 5.1.1 Cuenta suspendida por exceso de envíos", NO),
        ("550 5.1.1 Postfach gesperrt", NO),
        # The code and the text are about the address.
        ("550 5.1.1 Adresse d'au moins un destinataire invalide", NOW),
        ("550 5.1.1: Unbekannter Benutzer", NOW),
        ("511 Sorry, no mailbox here by that name (#5.1.1 - chkuser)", NOW),
    ],
)
def test_refusals_about_one_mailbox(text, suppress, stage):
    found = meaning(stage, text)
    assert (found.verdict, found.blames, found.suppress) == (PERMANENT, Blame.RECIPIENT, suppress)


@pytest.mark.parametrize(
    ("text", "suppress"),
    [
        ("550 No such user here", AMONG),
        ("550 <bob@example.com> User unknown", AMONG),
        ("550 Unrouteable address", AMONG),
        ("550 Administrative prohibition", NO),
        ("550 Rejected: spam", NO),
        ("550 Access denied", NO),
        ("550 Address verification failed", NO),
        ("550 Mailbox full", NO),
        ("550 \xff\xfe", AMONG),
    ],
)
def test_a_bare_550_suppresses_only_among_accepted_mails(text, suppress):
    found = meaning(Stage.RCPT, text)
    assert (found.verdict, found.blames, found.suppress) == (PERMANENT, Blame.MESSAGE, suppress)
    assert meaning(Stage.END, text).suppress is NO


@pytest.mark.parametrize(
    "text",
    ["550 5.2.1 The mailbox is disabled", "550 5.2.2 The mailbox is full", "552 5.2.2 The account is over quota"],
)
def test_a_disabled_or_full_mailbox_is_repeated_only_at_rcpt(text):
    found = [meaning(stage, text) for stage in DURING_A_MAIL]
    assert [one.suppress for one in found] == [REPEATED, NO, NO]
    assert {(one.verdict, one.blames) for one in found} == {(PERMANENT, Blame.RECIPIENT)}


@pytest.mark.parametrize(
    ("text", "blames"),
    [
        ("450 Tageslimit erreicht", Blame.PROVIDER),
        ("450 Too many requests. You can only make 2 requests per second", Blame.PROVIDER),
        ("450 Mail send limit exceeded", Blame.PROVIDER),
        ("451 Internal resources are temporarily unavailable", Blame.RECIPIENT),
        ("452 4.2.2 Mailbox over quota, mail returned to sender", Blame.RECIPIENT),
        ("450 5.1.1 Unknown user", Blame.RECIPIENT),
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
def test_a_temporary_refusal_blames_the_mailbox_or_the_server(text, blames):
    found = meaning(Stage.RCPT, text)
    assert (found.verdict, found.blames, found.suppress) == (TEMPORARY, blames, NO)


@pytest.mark.parametrize(
    ("text", "verdict", "blames"),
    [
        ("550 5.1.1 No such sender", CONFIGURATION, Blame.PROVIDER),
        ("550 5.1.7 Malformed", CONFIGURATION, Blame.PROVIDER),
        ("501 5.1.0 Refused", CONFIGURATION, Blame.PROVIDER),
        ("552 5.3.4 Too big", PERMANENT, Blame.MESSAGE),
        ("552 Too big", PERMANENT, Blame.MESSAGE),
        ("550 5.3.4 Too big", PERMANENT, Blame.MESSAGE),
        ("552 5.2.3 Longer than the limit", PERMANENT, Blame.MESSAGE),
        ("552 Sending quota exceeded", CONFIGURATION, Blame.MESSAGE),
        ("553 5.6.7 Not ASCII", PERMANENT, Blame.MESSAGE),
        ("452 4.3.1 No space", TEMPORARY, Blame.PROVIDER),
        ("450 4.2.0 Greylisted", TEMPORARY, Blame.PROVIDER),
    ],
)
def test_replies_to_mail(text, verdict, blames):
    found = meaning(Stage.MAIL, text)
    assert (found.verdict, found.blames, found.suppress) == (verdict, blames, NO)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [("554 5.7.1 Blocked", CONFIGURATION), ("535 5.7.8 Wrong", CONFIGURATION), ("454 4.7.0 Not now", TEMPORARY)],
)
def test_replies_while_opening(text, verdict):
    found = meaning(Stage.OPENING, text)
    assert (found.verdict, found.blames, found.suppress) == (verdict, Blame.PROVIDER, NO)


@pytest.mark.parametrize(
    ("code", "text", "label"),
    [
        (550, b"5.7.1 Refused", "550 5.7.1"),
        (550, b"Refused", "550"),
        (550, b"Refused (#5.1.1)", "550 5.1.1"),
        (550, b"4.2.2 Full", "550 4.2.2"),
        (550, b"by version 4.96.1 of 2.0.1", "550"),
        (550, b"at 10.5.7.1", "550"),
        (550, "d\xe9pass\xe9".encode("latin-1"), "550"),
        (550, b"5.7.26 first\n5.7.26 second", "550 5.7.26"),
        (-1, b"What?", ""),
    ],
)
def test_replies_with_equal_codes_have_equal_labels(code, text, label):
    assert Reply.of(code, text).label == label


def test_a_receipt_contains_the_meaning_of_the_reply():
    refused = smtplib.SMTPRecipientsRefused({"bob@example.com": (550, b"5.1.1 No such mailbox")})
    receipt = make_sending_receipt(None, refused, "smtp", False)
    assert (receipt.code, receipt.blames, receipt.suppress) == ("550 5.1.1", Blame.RECIPIENT, NOW)
    receipt = make_opening_receipt(None, smtplib.SMTPConnectError(554, b"5.7.1 Blocked"), "smtp")
    assert (receipt.code, receipt.verdict) == ("554 5.7.1", CONFIGURATION)
