"""Interpret the text of a refusal if its code is not specific.

Servers that limit the mails of a site, or check its reputation, often reply with a code that means something else, such
as a bare 550. Therefore the text is read too, but it can only make the meaning milder: it can prevent the suppression
of an address, or show that the sending site may be the cause, so that the mail is retried. No text suppresses an
address or stops a provider.
"""

import re
from unicodedata import combining, normalize

# Email addresses, URLs, network addresses and host names can contain any word, so they are removed.
NAMES_PATTERN = re.compile(r"<[^<>]*>|\[[^\[\]]*\]|\S+@\S+|https?:\S+|[\w-]+(\.[\w-]+){2,}")
# Operators of lists of hosts that send spam.
BLOCK_LISTS = r"(spamhaus|spamcop|barracudacentral|dnsbl|ipcheck)"
BLOCK_LIST_PATTERN = re.compile(rf"(?<![\w.@-])(https?:\S*|[\w.-]*)\b{BLOCK_LISTS}\b[^\s@]*")
# The prefix of each of Postfix's replies at RCPT, regardless of the reason.
POSTFIX_PREFIX_PATTERN = re.compile(r"(recipient|end-of-data|data) (address|command) rejected:")

TIME = r"(second|minute|hour|day|week|month|heure|jour|stunde|tag|ora|giorno|hora|dia)"
MEASURE = r"(quotas?|limits?|allowance|rates?|thresholds?)"
COUNTED = r"e?mails?|messages?|recipients?|defers|failures|connections?"
SENDING = r"(send|sends|sending|senders?|sender's|submission|outgoing|outbound|relay)"
NOT = r"(not|n't|never|unable to|cannot|denied|refus\w+|prohibit\w*|disallow\w*)"
CONNECTION = r"(connection|session)"

ACCOUNT_PATTERN = re.compile(
    "|".join(
        [
            # Relaying.
            rf"\brelay\w*( access)?( is| was)? ({NOT}|rejected|blocked|disabled)",
            rf"\b{NOT}( \w+){{0,4}} relay|\brcpthosts\b",
            # Login and encryption.
            r"\b(authenticat\w*|auth|log ?in|starttls|tls|encryption)( is| was)?,? (required|needed|first|mandatory)",
            r"\b(requires?|needs?|must|have to|please|turn on)( \w+){0,3} (authenticat\w*|log ?in|auth|starttls|tls)\b",
            rf"\b{NOT} (yet )?(authenticated|logged in)\b|\bunauthenticated\b|\bauthenticat\w* (has )?fail",
            r"\bfail\w* to (authenticate|log ?in)\b|\binvalid credentials\b",
            # Limits on the number of mails.
            rf"\b{SENDING}\b[^.;:]{{0,40}}\b{MEASURE}\b|\b{MEASURE}\b[^.;:]{{0,40}}\b{SENDING}\b",
            rf"\b({COUNTED}|\d+) (allowed )?(per|an?|every|par|pro|por|al) {TIME}\b",
            r"\btoo many (\w+ ){0,2}(e?mails|messages|recipients|requests|connections|errors|users|addresses)\b",
            rf"\b(dai|hour|week|month)ly\b[^.;:]{{0,30}}\b({MEASURE}|cap|maximum|messages|e?mails|recipients)\b",
            r"\bmax(imum)?( \w+){0,3} (messages|e?mails|recipients)\b",
            r"\bthrottl|\brate[- ]?limit|\bfrequency\b|quotaexceeded|outboundspam|send ?as ?denied|\btoo fast\b",
            # Payment and the status of the account.
            r"\bcredits?\b|\bnot (yet )?activ(e|ated)\b|\bpending approval\b|\bunder review\b|\btrial\b",
            # Permission to send from this account or address.
            rf"\b{NOT} (permitted|allowed|authori[sz]ed) to (send|submit)\b",
            r"\b(blocked|banned|restricted|suspended) from sending\b|\bunusual( \w+)? activity\b",
            rf"\b{SENDING}( \w+){{0,6}} (suspen\w+|disabled|paused|banned|restricted|blocked)\b",
            rf"\bsenders?( \w+){{0,3}}:? ({NOT}|rejected|unknown|invalid|unverified|(verify|verification) failed)",
            r"\b(address|identit\w+|domain)( is| are)? (not |un)verified|\b(from|return-path|envelope) address",
            r"\bunconfigured( \w+)? domain\b|\bnot( \w+){0,2} registered\b|\bmultiple from\b",
            r"\baccess\b[^.;:]{0,60}\brejected\b",
            r"\byour (\w+ )?(account|domain|tenant|plan|subscription|credit|organi[sz]ation)\b",
        ]
    )
)
REPUTATION_PATTERN = re.compile(
    "|".join(
        [
            r"\b(black|block|deny)[- ]?list|\b(dns|r)bl\b|\bspam(haus|cop)\b|\b(blocked|banned|reputation|karma)\b",
            r"\b(domain|ip|host|server|mailfrom|address) (\w+ )?listed\b|(?<!not )\blisted (by|in|on|at)\b",
            r"\b(spf|dkim|dmarc)\b|\breverse dns\b|\bptr\b|\bipv6\b|\bclient host\b|\b(helo|ehlo)\b",
            r"\b(your|sending|source|client|connecting) (ip|server|host|network|mta|mail ?server)\b|\bip address\b",
            r"\bpolic(y|ies)\b|\bsuspen\w+|\b(out-?going|outbound)\b|\bspoof\w*",
        ]
    )
)
TEMPORARY_PATTERN = re.compile(
    r"\btemporar\w*|\btry( it)? again\b|\b(try|retry|resend)\b[^.;:]{0,20}\blater\b|\bservice (unavailable|refused)\b"
)
QUOTA_PATTERN = re.compile(rf"\b{MEASURE}\b|\bexceed\w*")
# German, French, Italian and Spanish; without accents.
OTHER_LANGUAGES_PATTERN = re.compile(
    r"\b(limite|limites|\w*limit|(tages|stunden)limits?|kontingent|(ue|u)berschritten|zu viele|gesperrt\w*|blockiert\w*"
    r"|absenders?|versand|sperrliste|voruebergehend|vorubergehend|spater|spaeter"
    r"|depasse\w*|trop de|bloque\w*|expediteur|envois?|liste noire|suspendu\w*|plus tard|temporairement"
    r"|superat[oai]|troppi|bloccat[oai]|mittente|invio|lista nera|sospes[oai]|piu tardi"
    r"|superad[oa]s?|excedid[oa]s?|excedio|demasiad[oa]s|bloquead[oa]s?|remitente|envios?|lista negra|suspendid[oa]s?"
    r"|exceso|mas tarde)\b"
)

CONTENT_PATTERN = re.compile(
    r"\b(links?|contains?|virus\w*|malware|infected|attachments?|phish\w*|body|surbl\w*|uribl\w*|html|spam ?score"
    r"|spam points|content filter\w*|banned:)|\.(exe|zip)\b"
)
SIZE_PATTERN = re.compile(r"\b(size\w*|too (large|big|long)|bytes|octets|\d+ ?[km]i?b)\b")
# A mailing list, group or person that does not accept mail from everybody.
RECIPIENT_CHOICE_PATTERN = re.compile(
    r"\b(groups?|mailing list|(white|allow)[- ]?list|(allowed|safe|accepted) senders?|members?|resolver|moderat\w+"
    r"|by (the |this )?recipient|by (the|this) (user|owner)"
    r"|(recipient|mailbox|owner) (has|only|does|doesn't|will|blocks?)|user (only|does|doesn't|will|blocks?))\b"
)
MAILBOX_PATTERN = re.compile(r"\b(mailbox|inbox|recipient|storage|disk|over[- ]?quota)\b")

OTHER_CAUSES_PATTERN = re.compile(
    r"\b(\w*limit\w*|quota\w*|capped|caps?|full|upgrade\w*|exceed\w*|rates?|frequency|too (many|fast|quickly|much)"
    r"|throttl\w*|daily|hourly|today|max(imum)?|credits?|pay|bill"
    r"|suspen\w*|outgoing|outbound|out-going|\w*block\w*|blacklist\w*"
    r"|spam\w*|unsolicited|junk|bulk|relay\w*|not (permitted|allowed)|(un)?authori[sz]ed|(un)?authenticat\w*|log ?in"
    r"|access denied|polic(y|ies)|prohibit\w*|reputation|spf|dkim|dmarc|ban|banned|(?<!not )listed|rbl|dnsbl|abus\w+"
    r"|suspicious|complaints?|senders?|sender's|sending|from header|header|temporar\w*|later|(try|trying) again"
    r"|resend|gr[ea]y-?list\w*|unreachable|not reachable|time-? ?outs?|timed[- ]out|verif\w*|directory|ldap"
    r"|(not|n't|no) (answer|respon\w+|repl\w+)|lookup fail\w*"
    rf"|your (ip|account|domain|server|host)|(per|an?) {TIME}|{CONNECTION}|client host|helo|ehlo|reverse dns|ptr|dns)\b"
)
GREYLISTING_PATTERN = re.compile(r"\bgr[ea]y-?list|\bpostgrey\b")
CONNECTION_LIMIT_PATTERN = re.compile(rf"\b(this|per|one|each|a single|same) (smtp )?{CONNECTION}\b")


def normalize_text(text: str) -> str:
    """Return the text in lower case, without accents, in one line, and without addresses and host names."""
    letters = normalize("NFKD", " ".join(text.casefold().split()))
    words = "".join(letter for letter in letters if not combining(letter)) if not letters.isascii() else letters
    return POSTFIX_PREFIX_PATTERN.sub(" ", NAMES_PATTERN.sub(" ", BLOCK_LIST_PATTERN.sub(" dnsbl ", words)))


def is_about_account(words: str) -> bool:
    """Whether a temporary refusal is about the sending account or its limits, and not about one mailbox."""
    if RECIPIENT_CHOICE_PATTERN.search(words) or SIZE_PATTERN.search(words):
        return False
    if ACCOUNT_PATTERN.search(words):
        return True
    is_quota = (QUOTA_PATTERN.search(words) or OTHER_LANGUAGES_PATTERN.search(words)) and not MAILBOX_PATTERN.search(
        words
    )
    return not CONTENT_PATTERN.search(words) and bool(REPUTATION_PATTERN.search(words) or is_quota)


def is_about_sender(words: str) -> bool:
    """Whether a refusal is about the sending account, its limits, or the reputation of its host or domain.

    A wrong True costs a mail some attempts. A wrong False makes a dead letter of a mail that could be sent later.
    """
    if SIZE_PATTERN.search(words):
        return False
    if ACCOUNT_PATTERN.search(words) or OTHER_LANGUAGES_PATTERN.search(words):
        return True
    if RECIPIENT_CHOICE_PATTERN.search(words) or CONTENT_PATTERN.search(words):
        return False
    is_quota = QUOTA_PATTERN.search(words) and not MAILBOX_PATTERN.search(words)
    return bool(REPUTATION_PATTERN.search(words) or TEMPORARY_PATTERN.search(words) or is_quota)


def is_doubtful(words: str) -> bool:
    """Whether the text names a cause other than the address, so that the address must not be suppressed."""
    return bool(OTHER_CAUSES_PATTERN.search(words) or OTHER_LANGUAGES_PATTERN.search(words))


def is_greylisting(words: str) -> bool:
    return bool(GREYLISTING_PATTERN.search(words))


def is_about_connection(words: str) -> bool:
    """Whether a refusal is about the number of mails on this connection, so that a new connection may succeed."""
    return bool(CONNECTION_LIMIT_PATTERN.search(words))
