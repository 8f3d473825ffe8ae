"""What the words of a refusal say, where its code does not say it.

Servers that count what a site sends, or look at its standing, often answer with a code that means something else, such
as a bare 550. So words are read, but they may only make an answer milder for the recipient: they spare an address, or
say that the sending account is at fault. No words condemn.
"""

import re

# Addresses, web addresses, network addresses and host names may hold any word.
PLACES = re.compile(r"<[^<>]*>|\[[^\[\]]*\]|\S+@\S+|https?:\S+|[\w-]+(\.[\w-]+){2,}")
# How Postfix begins each answer at RCPT, whatever it is about.
POSTFIX = re.compile(r"(recipient|end-of-data|data) (address|command) rejected:")

TIME = r"(second|minute|hour|day|week|month)"
MEASURE = r"(quotas?|limits?|allowance|rates?|thresholds?)"
SENDING = r"(send|sends|sending|senders?|sender's|submission|outgoing|outbound|relay)"
NOT = r"(not|n't|never|unable to|cannot|denied|refus\w+|prohibit\w*)"

OF_THE_ACCOUNT = re.compile(
    "|".join(
        [
            # Relaying.
            rf"\brelay\w*( access)?( is| was)? ({NOT}|rejected|blocked|disabled)",
            rf"\b{NOT}( \w+){{0,4}} relay|\brcpthosts\b",
            # Log-in and encryption.
            r"\b(authenticat\w*|auth|log ?in|starttls|tls|encryption)( is| was)?,? (required|needed|first|mandatory)",
            r"\b(requires?|needs?|must|have to)( \w+){0,3} (authenticat\w*|log ?in|auth|starttls|tls)\b",
            rf"\b{NOT} (yet )?(authenticated|logged in)\b|\bunauthenticated\b|\bauthenticat\w* (has )?fail",
            # How much may be sent.
            rf"\b{SENDING}\b[^.;:]{{0,40}}\b{MEASURE}\b|\b{MEASURE}\b[^.;:]{{0,40}}\b{SENDING}\b",
            rf"\b(e?mails?|messages?|recipients?|defers|failures|connections?) (allowed )?(per|an?|every) {TIME}\b",
            r"\btoo many (\w+ ){0,2}(e?mails|messages|recipients|requests|connections|errors|users|addresses)\b",
            rf"\b(dai|hour|week|month)ly\b[^.;:]{{0,30}}\b({MEASURE}|maximum|messages|e?mails|recipients)\b",
            r"\bmax(imum)?( \w+){0,3} (messages|e?mails|recipients)\b",
            r"\bthrottl|\brate[- ]?limit|quotaexceeded|outboundspam|send ?as ?denied",
            # Whether anything may be sent by this account, or from this address.
            rf"\b{NOT} (permitted|allowed|authori[sz]ed) to send\b",
            r"\b(blocked|banned|restricted|suspended) from sending\b",
            rf"\b{SENDING}( \w+){{0,6}} (suspended|disabled|paused|banned|restricted)\b",
            rf"\bsenders?( \w+){{0,3}}:? ({NOT}|rejected|unknown|invalid|unverified|(verify|verification) failed)",
            r"\b(address|identit\w+|domain)( is| are)? (not |un)verified|\b(from|return-path|envelope) address",
            r"\byour (account|domain|tenant|plan|subscription|credit|organi[sz]ation)\b",
        ]
    )
)
OF_ITS_STANDING = re.compile(
    "|".join(
        [
            r"\b(black|block|deny)[- ]?list|\b(dns|r)bl\b|\bblocked using\b|\bbanned\b|\breputation\b",
            r"\bspamhaus\b|\bspamcop\b|\b(domain|ip|host|server|mailfrom) (\w+ )?listed\b",
            r"\b(spf|dkim|dmarc)\b|\breverse dns\b|\bptr\b|\bipv6\b|\bclient host\b|\b(helo|ehlo)\b",
            r"\b(your|sending|source|client|connecting) (ip|server|host|network|mta|mail ?server)\b|\bip address\b",
        ]
    )
)
OF_A_QUOTA = re.compile(rf"\b{MEASURE}( \w+){{0,3}} (exceeded|reached|used up)|\bexceed\w*( \w+){{0,4}} {MEASURE}\b")

OF_THE_CONTENT = re.compile(
    r"\b(ur[li]s?|links?|contents?|virus\w*|malware|attachments?|phish\w*|subject|body|text|surbl|uribl|html"
    r"|spam ?score)\b"
)
OF_THE_SIZE = re.compile(r"\b(size\w*|too (large|big|long)|bytes|octets|\d+ ?[km]i?b)\b")
# A list, a group or a person that does not want mail from everybody.
OF_ITS_CHOICE = re.compile(
    r"\b(groups?|mailing list|(white|allow)[- ]?list|(allowed|safe|accepted) senders?|members?|resolver|moderat\w+"
    r"|by (the |this )?recipient|by (the|this) (user|owner)"
    r"|(recipient|user|mailbox|owner) (has|only|does|doesn't|will|blocks?))\b"
)
OF_A_MAILBOX = re.compile(r"\b(mailbox|inbox|recipient|user|storage|disk|over[- ]?quota)\b")

DOUBTFUL = re.compile(
    r"\b(limit\w*|quota\w*|exceed\w*|rates?|too (many|fast|quickly|much)|throttl\w*|daily|hourly|today"
    r"|max(imum)?|suspend\w*|outgoing|outbound|block\w*|blacklist\w*"
    r"|spam\w*|unsolicited|junk|bulk|relay\w*|not (permitted|allowed)|(un)?authori[sz]ed|(un)?authenticat\w*|log ?in"
    r"|access denied|polic(y|ies)|prohibit\w*|reputation|spf|dkim|dmarc|ban|banned|(?<!not )listed|rbl|dnsbl|abus\w+"
    r"|suspicious|complaints?|senders?|sender's|sending|temporar\w*|later|try again|gr[ea]y-?list\w*"
    rf"|your (ip|account|domain|server|host)|(per|an?) {TIME}|client host|helo|ehlo|reverse dns|ptr)\b"
)
GREYLISTED = re.compile(r"\bgr[ea]y-?list|\bpostgrey\b")


def plain(said: str) -> str:
    """The words to look at: in lower case, in one line, without names of places."""
    return POSTFIX.sub(" ", PLACES.sub(" ", " ".join(said.lower().split())))


def accuse_account(words: str) -> bool:
    """Whether they say, whatever the code, that the sending account or what it may send is at fault."""
    if OF_ITS_CHOICE.search(words) or OF_THE_SIZE.search(words):
        return False
    return bool(OF_THE_ACCOUNT.search(words))


def accuse_sender(words: str) -> bool:
    """Whether they say so, or speak of the standing of the sending host or domain, or of a limit that is nobody's."""
    if accuse_account(words):
        return True
    if OF_ITS_CHOICE.search(words) or OF_THE_SIZE.search(words) or OF_THE_CONTENT.search(words):
        return False
    is_quota = OF_A_QUOTA.search(words) and not OF_A_MAILBOX.search(words)
    return bool(OF_ITS_STANDING.search(words) or is_quota)


def doubt(words: str) -> bool:
    """Whether they name a cause other than the address, so that it must not be condemned."""
    return bool(DOUBTFUL.search(words))


def speak_of_greylisting(words: str) -> bool:
    return bool(GREYLISTED.search(words))
