"""Replies of real mail servers: codes and meanings from their public documentation, with paraphrased texts.

Sources: Microsoft, "Email non-delivery reports and SMTP errors in Exchange Online"; Google, "Gmail SMTP errors and
codes"; Amazon, "SMTP response codes returned by Amazon SES" and "Amazon SES email sending errors"; Postfix, access(5),
postconf(5) and SMTPD_POLICY_README; Exim, "Access control lists"; cPanel, "Tweak Settings: Mail"; Mailgun, "SMTP
errors"; Yahoo, "SMTP error codes"; RFC 6647 (greylisting), 7372, 7504 and 7505. Those under "others" imitate
the servers that they name.
"""

from dataclasses import dataclass

EXCHANGE, GMAIL, SES, POSTFIX = "Exchange Online", "Gmail", "Amazon SES", "Postfix"
EXIM, MAILGUN, YAHOO, GREY = "Exim and cPanel", "Mailgun", "Yahoo", "greylisting"


@dataclass(frozen=True)
class Fate:
    """The outcome for several mails.

    ``states``: the number of mails in each state, *waiting* for retries; ``suppressed``: the number of addresses.
    """

    states: str
    suppressed: int = 0
    circuit: str = "closed"

    def __str__(self):
        parts = [self.states, *[f"{self.suppressed} suppressed"] * bool(self.suppressed)]
        return ", ".join([*parts, *["circuit open"] * (self.circuit == "open")])


@dataclass(frozen=True)
class Kind:
    """The meaning of a reply, and the outcome for one mail and for thirty, without and with a reserve provider.

    ``alternating``: the outcome for thirty mails of which every other one is refused, without a reserve.
    """

    name: str
    one: Fate
    one_reserve: Fate
    thirty: Fate
    thirty_reserve: Fate
    alternating: Fate


ALL_WAIT = Fate("30 waiting", circuit="open")
BY_RESERVE = Fate("30 sent", circuit="open")
OURS = Kind(
    "the sending site",
    Fate("1 waiting", circuit="open"),
    Fate("1 sent", circuit="open"),
    ALL_WAIT,
    BY_RESERVE,
    Fate("1 sent, 29 waiting", circuit="open"),
)
PERHAPS = Kind(
    "perhaps the sending site",
    Fate("1 waiting"),
    Fate("1 sent"),
    ALL_WAIT,
    BY_RESERVE,
    Fate("15 sent, 15 waiting"),
)
MAIL = Kind("this mail or mailbox", Fate("1 dead"), Fate("1 sent"), ALL_WAIT, BY_RESERVE, Fate("15 sent, 15 dead"))
BARE = Kind(
    "perhaps the mailbox", Fate("1 dead"), Fate("1 sent"), ALL_WAIT, BY_RESERVE, Fate("15 sent, 15 dead", suppressed=12)
)
NO_MAILBOX = Kind(
    "no such mailbox",
    Fate("1 dead", suppressed=1),
    Fate("1 dead", suppressed=1),
    ALL_WAIT,
    BY_RESERVE,
    Fate("15 sent, 15 dead", suppressed=15),
)
BLOCKED = Kind(
    "blocked by the mailbox",
    Fate("1 dead", suppressed=1),
    Fate("1 sent"),
    ALL_WAIT,
    BY_RESERVE,
    Fate("15 sent, 15 dead", suppressed=15),
)
MAILBOX = Kind("the mailbox", Fate("1 dead"), Fate("1 dead"), ALL_WAIT, BY_RESERVE, Fate("15 sent, 15 dead"))
BUSY = Kind("the server, for now", Fate("1 waiting"), Fate("1 sent"), ALL_WAIT, BY_RESERVE, Fate("15 sent, 15 waiting"))
PATIENCE = Kind(
    "the mailbox, for now",
    Fate("1 waiting"),
    Fate("1 waiting"),
    Fate("30 waiting"),
    Fate("30 waiting"),
    Fate("15 sent, 15 waiting"),
)


@dataclass(frozen=True)
class Answer:
    server: str
    stage: str
    text: str
    kind: Kind

    def __str__(self):
        return f"{self.server}-{self.stage}-{self.text}"[:60]


OUT_OF_ORDER = ("500", "502", "503")
STAGES = ("MAIL", "RCPT", "DATA", "end of content")


def get_kind_at(answer, stage):
    """Return the meaning of the same text at another stage."""
    code, for_now = answer.text[:3], answer.text.startswith("4")
    if stage == "MAIL":
        # There is no recipient yet; the server only knows the size of the mail.
        size = PERHAPS if answer.kind is PERHAPS or "too many" in answer.text.lower() else MAIL
        return BUSY if for_now else size if code == "552" and answer.kind is not OURS else OURS
    if answer.kind is BARE and stage != "RCPT":
        return MAIL
    if code in OUT_OF_ORDER:
        # At the end of the content, the order of commands cannot be wrong.
        return MAIL if stage == "end of content" else OURS
    if stage == "RCPT" and answer.text == "451 Temporary service failure":
        return PATIENCE
    if answer.kind is PATIENCE and stage != "RCPT" and not is_about_mailbox(answer.text):
        return BUSY
    return answer.kind


def is_about_mailbox(text):
    return " 4.2." in text or "greylist" in text.lower()


ANSWERS = [
    # Exchange Online, and Outlook.com.
    Answer(EXCHANGE, "AUTH", "535 5.7.3 Authentication unsuccessful", OURS),
    Answer(EXCHANGE, "AUTH", "550 5.7.30 Basic authentication is not supported", OURS),
    Answer(EXCHANGE, "MAIL", "530 5.7.57 Client was not authenticated to send mail", OURS),
    Answer(EXCHANGE, "RCPT", "550 5.1.90 The sender has used up its recipients for the day", OURS),
    Answer(EXCHANGE, "RCPT", "550 5.1.8 Access denied, bad outbound sender", OURS),
    Answer(EXCHANGE, "RCPT", "550 5.1.1 Mailbox not found", NO_MAILBOX),
    Answer(EXCHANGE, "RCPT", "550 5.1.10 Recipient not found", NO_MAILBOX),
    Answer(EXCHANGE, "RCPT", "550 5.4.1 Recipient address rejected: Access denied", MAIL),
    Answer(EXCHANGE, "RCPT", "550 5.5.0 Requested action not taken: mailbox unavailable", MAIL),
    Answer(EXCHANGE, "RCPT", "550 5.7.64 TenantAttribution; Relay Access Denied", OURS),
    Answer(EXCHANGE, "RCPT", "550 5.7.606 Access denied, banned sending IP", OURS),
    Answer(EXCHANGE, "RCPT", "550 5.7.705 Access denied, tenant has exceeded threshold", OURS),
    Answer(EXCHANGE, "RCPT", "550 5.7.233 Tenant has exceeded its external recipients", OURS),
    Answer(EXCHANGE, "RCPT", "550 5.7.124 Sender is not among the allowed senders of the group", BLOCKED),
    Answer(EXCHANGE, "RCPT", "550 5.2.122 The recipient has exceeded their limit of messages per hour", MAILBOX),
    Answer(EXCHANGE, "RCPT", "451 4.7.500 Server busy. Please try again later", BUSY),
    Answer(EXCHANGE, "RCPT", "451 4.7.650 The mail server has been temporarily rate limited", BUSY),
    Answer(EXCHANGE, "end of content", "550 5.7.60 Client may not send as this sender", OURS),
    Answer(EXCHANGE, "end of content", "554 5.2.0 STOREDRV.Submission: OutboundSpamException", PERHAPS),
    Answer(EXCHANGE, "end of content", "554 5.2.0 STOREDRV.Submission: SubmissionQuotaExceededException", PERHAPS),
    Answer(EXCHANGE, "end of content", "554 5.2.0 STOREDRV.Deliver: refused by a rule of the mailbox", MAIL),
    Answer(EXCHANGE, "end of content", "550 5.7.350 Detected as spam", MAIL),
    Answer(EXCHANGE, "end of content", "432 4.3.2 Concurrent connections limit exceeded", BUSY),
    # Gmail and Google Workspace.
    Answer(GMAIL, "greeting", "421 4.7.0 Try again later, closing connection", BUSY),
    Answer(GMAIL, "AUTH", "535 5.7.8 Username and password not accepted", OURS),
    Answer(GMAIL, "AUTH", "454 4.7.0 Too many login attempts, try again later", BUSY),
    Answer(GMAIL, "MAIL", "530 5.7.0 Must issue a STARTTLS command first", OURS),
    Answer(GMAIL, "MAIL", "530 5.7.0 Authentication required", OURS),
    Answer(GMAIL, "RCPT", "550 5.1.1 The account does not exist", NO_MAILBOX),
    Answer(GMAIL, "RCPT", "553 5.1.2 The domain of the recipient could not be found", NO_MAILBOX),
    Answer(GMAIL, "RCPT", "550 5.2.1 The account is disabled", MAILBOX),
    Answer(GMAIL, "RCPT", "550 5.2.1 The user receives mail at a rate that prevents delivery", MAILBOX),
    Answer(GMAIL, "RCPT", "552 5.2.2 The account is over quota", MAILBOX),
    Answer(GMAIL, "RCPT", "452 4.2.2 The account is over quota", PATIENCE),
    Answer(GMAIL, "RCPT", "450 4.2.1 The user is receiving mail too quickly", PATIENCE),
    Answer(GMAIL, "RCPT", "450 4.2.1 Peak SMTP relay limit exceeded", BUSY),
    Answer(GMAIL, "RCPT", "550 5.7.1 Daily SMTP relay limit exceeded", PERHAPS),
    Answer(GMAIL, "RCPT", "452 4.5.3 The message has too many recipients", BUSY),
    Answer(GMAIL, "DATA", "550 5.4.5 Daily user sending quota exceeded", OURS),
    Answer(GMAIL, "end of content", "550 5.4.5 Daily user sending quota exceeded", OURS),
    Answer(GMAIL, "end of content", "550 5.7.26 Unauthenticated mail, neither SPF nor DKIM pass", OURS),
    Answer(GMAIL, "end of content", "550 5.7.25 The sending address has no PTR record", OURS),
    Answer(GMAIL, "end of content", "550 5.7.1 This message is likely unsolicited mail", MAIL),
    Answer(GMAIL, "end of content", "552 5.7.0 The content presents a security issue", MAIL),
    Answer(GMAIL, "end of content", "552 5.3.4 The message exceeds the size limit", MAIL),
    Answer(GMAIL, "end of content", "421 4.7.28 Unusual rate of unsolicited mail from your IP address", BUSY),
    # Amazon SES.
    Answer(SES, "AUTH", "535 Authentication credentials invalid", OURS),
    Answer(SES, "AUTH", "454 Temporary authentication failure", BUSY),
    Answer(SES, "end of content", "454 Throttling failure: Maximum sending rate exceeded", BUSY),
    Answer(SES, "end of content", "454 Throttling failure: Daily message quota exceeded", BUSY),
    Answer(SES, "end of content", "554 Message rejected: Email address is not verified", PERHAPS),
    Answer(SES, "end of content", "554 Sending paused for this account", PERHAPS),
    Answer(SES, "end of content", "554 Message rejected: virus found", MAIL),
    Answer(SES, "end of content", "451 Temporary service failure", BUSY),
    # Postfix.
    Answer(POSTFIX, "greeting", "554 5.7.1 The client may not connect", OURS),
    Answer(POSTFIX, "MAIL", "552 5.3.4 Message size exceeds fixed limit", MAIL),
    Answer(POSTFIX, "MAIL", "452 4.3.1 Insufficient system storage", BUSY),
    Answer(POSTFIX, "RCPT", "554 5.7.1 Relay access denied", PERHAPS),
    Answer(POSTFIX, "RCPT", "454 4.7.1 Relay access denied", BUSY),
    Answer(POSTFIX, "RCPT", "554 5.7.1 Client host [192.0.2.1] blocked using a list", PERHAPS),
    Answer(POSTFIX, "RCPT", "553 5.7.1 Sender address rejected: not owned by user", PERHAPS),
    Answer(POSTFIX, "RCPT", "550 5.1.1 Recipient address rejected: User unknown in local table", NO_MAILBOX),
    Answer(POSTFIX, "RCPT", "556 5.1.10 Recipient address rejected: the domain has a null MX", NO_MAILBOX),
    Answer(POSTFIX, "RCPT", "450 4.1.1 Recipient address rejected: unverified address", PATIENCE),
    Answer(POSTFIX, "RCPT", "554 5.7.1 Recipient address rejected: Access denied", MAIL),
    Answer(POSTFIX, "RCPT", "450 4.7.25 Client host rejected: cannot find your host name", BUSY),
    Answer(POSTFIX, "RCPT", "451 4.3.0 Temporary lookup failure", BUSY),
    Answer(POSTFIX, "end of content", "550 5.7.1 Message content rejected", MAIL),
    # Exim, as hosts with cPanel run it.
    Answer(EXIM, "RCPT", "550 No Such User Here", BARE),
    Answer(EXIM, "RCPT", "550 Unrouteable address", BARE),
    Answer(EXIM, "RCPT", "550 Administrative prohibition", MAIL),
    Answer(EXIM, "RCPT", "550 relay not permitted", PERHAPS),
    Answer(EXIM, "RCPT", "550 Sender verify failed", PERHAPS),
    Answer(EXIM, "RCPT", "550 You have sent too many messages in this hour", PERHAPS),
    Answer(EXIM, "RCPT", "550 Domain example.com has exceeded the max emails per hour (9/5)", PERHAPS),
    Answer(EXIM, "end of content", "550 Domain example.com has exceeded the max defers and failures per hour", PERHAPS),
    Answer(EXIM, "end of content", "550 This message is classified as spam", MAIL),
    Answer(EXIM, "RCPT", "451 Temporary local problem, please try later", PATIENCE),
    # Mailgun.
    Answer(MAILGUN, "AUTH", "535 5.7.0 Mail user or password is wrong", OURS),
    Answer(MAILGUN, "RCPT", "550 5.7.1 Recipient limit exceeded: messages per day for this domain", PERHAPS),
    Answer(MAILGUN, "RCPT", "450 4.7.1 Recipient limit exceeded: messages per hour for this domain", BUSY),
    Answer(MAILGUN, "end of content", "421 The domain has sent too many messages", BUSY),
    Answer(MAILGUN, "end of content", "554 5.7.1 The domain is not allowed to send", PERHAPS),
    Answer(MAILGUN, "end of content", "552 5.3.4 The message is larger than the maximum size", MAIL),
    # Yahoo.
    Answer(YAHOO, "MAIL", "421 4.7.0 [TSS04] Messages temporarily deferred", BUSY),
    Answer(YAHOO, "RCPT", "554 30 Sorry, your message cannot be delivered: the mailbox is not there", MAIL),
    Answer(YAHOO, "end of content", "554 5.7.9 Message not accepted for policy reasons", OURS),
    # Greylisting.
    Answer(GREY, "RCPT", "450 4.2.0 Greylisted, see a help page", PATIENCE),
    Answer(GREY, "RCPT", "451 4.7.1 Greylisting in action, please come back later", PATIENCE),
    Answer(GREY, "RCPT", "450 Greylisted", PATIENCE),
    Answer(GREY, "end of content", "451 4.7.1 Greylisted for five minutes", PATIENCE),
    # Others.
    Answer(
        "Yahoo", "end of content", "554 5.7.5 Message not accepted due to the policy of the domain's owner", PERHAPS
    ),
    Answer("Yahoo", "greeting", "553 5.7.1 [BL21] Connections will not be accepted, the address is on a list", OURS),
    Answer("iCloud", "RCPT", "550 5.1.6 Recipient no longer on server", NO_MAILBOX),
    Answer("iCloud", "RCPT", "552 5.2.2 User is over quota", MAILBOX),
    Answer("iCloud", "end of content", "554 5.7.1 [CS01] Message rejected due to local policy", PERHAPS),
    Answer("iCloud", "end of content", "554 5.7.1 [HME1] Sender address could not be authenticated", PERHAPS),
    Answer("Zoho", "RCPT", "550 5.4.6 Unusual sending activity detected", PERHAPS),
    Answer("Zoho", "RCPT", "553 Relaying disallowed for this sender", PERHAPS),
    Answer("Zoho", "end of content", "554 5.1.8 Outgoing mail is blocked", OURS),
    Answer("OVH", "RCPT", "550 5.7.1 Vous avez envoyé trop de messages (200 par heure)", PERHAPS),
    Answer("OVH", "end of content", "550 Votre quota d'envoi est dépassé", PERHAPS),
    Answer("SendGrid", "RCPT", "550 Maximum credits exceeded", PERHAPS),
    Answer("SendGrid", "AUTH", "451 Authentication failed: no credits are left", BUSY),
    Answer("Brevo", "end of content", "550 5.7.1 Your account is not yet activated", PERHAPS),
    Answer("Mailjet", "end of content", "554 5.7.1 This account has been blocked", PERHAPS),
    Answer("Proofpoint", "RCPT", "554 5.7.1 Blocked - see https://ipcheck.example.com/", PERHAPS),
    Answer("Proofpoint", "RCPT", "550 5.1.1 User Unknown", NO_MAILBOX),
    Answer("Mimecast", "RCPT", "550 Submitter failed to authenticate", PERHAPS),
    Answer("Mimecast", "RCPT", "550 Invalid Recipient", BARE),
    Answer("Mimecast", "RCPT", "451 Internal resources are temporarily unavailable", PATIENCE),
    Answer("Barracuda", "RCPT", "554 Service unavailable; Client host [192.0.2.1] blocked using a list", PERHAPS),
    Answer("Barracuda", "end of content", "550 rejected: blocked by our content filter", MAIL),
    Answer("IronPort", "RCPT", "550 #5.7.1 Your access to this mail system has been rejected", PERHAPS),
    Answer("IronPort", "RCPT", "550 #5.1.0 Address rejected", MAILBOX),
    Answer("IronPort", "RCPT", "452 #4.5.3 Too many recipients received this hour", BUSY),
    Answer("GMX", "greeting", "554 No SMTP service, the IP address is black listed", OURS),
    Answer("GMX", "RCPT", "550 Requested action not taken: mailbox unavailable", BARE),
    Answer("GMX", "RCPT", "550 Sie haben Ihr Tageslimit für den Versand erreicht", PERHAPS),
    Answer("Aruba", "RCPT", "550 5.7.1 Limite di invio superato", PERHAPS),
    Answer("qmail", "RCPT", "553 Sorry, that domain is not in my list of allowed rcpthosts (#5.7.1)", PERHAPS),
    Answer("qmail", "RCPT", "511 Sorry, no mailbox here by that name (#5.1.1 - chkuser)", NO_MAILBOX),
    Answer("OpenSMTPD", "RCPT", "550 Invalid recipient", BARE),
    Answer("OpenSMTPD", "end of content", "500 5.0.0 Message rejected", MAIL),
    Answer("Zimbra and amavis", "end of content", "554 5.7.0 Reject, id=12345-01 - BANNED: .exe,setup.exe", MAIL),
    Answer("Zimbra and amavis", "end of content", "554 5.7.0 Reject, id=12345-02 - spam", MAIL),
    Answer("cPanel", "RCPT", "550 Please turn on SMTP Authentication in your mail client", PERHAPS),
    Answer("cPanel", "RCPT", "550 Outgoing mail has been suspended", PERHAPS),
    Answer("Courier", "RCPT", "552 5.2.2 Too many messages in mailbox", MAILBOX),
    Answer("Exchange Server", "RCPT", "550 5.7.1 RESOLVER.RST.AuthRequired; authentication required", PERHAPS),
    Answer(
        "Exchange Server", "RCPT", "550 5.1.1 Recipient verification failed: the directory does not answer", MAILBOX
    ),
    Answer("Comcast", "RCPT", "550 5.1.0 Sender blocked: BL000000", PERHAPS),
    Answer("QQ", "RCPT", "550 Domain frequency limited", PERHAPS),
    Answer(
        "Gmail",
        "end of content",
        "550 5.7.1 The user or domain you are sending to (or from) has a policy against it",
        PERHAPS,
    ),
]
