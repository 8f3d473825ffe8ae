"""What the words of a refusal say, where its code does not say it.

Servers that count what a site sends, or look at its standing, often answer with a code that means something else, such
as a bare 550. So words are read, but they may only make an answer milder: they spare an address, or say that the
sending site may be at fault, so that the mail is tried again. No words condemn, and no words stop a provider.
"""

import re
from unicodedata import combining, normalize

# Addresses, web addresses, network addresses and host names may hold any word.
PLACES = re.compile(r"<[^<>]*>|\[[^\[\]]*\]|\S+@\S+|https?:\S+|[\w-]+(\.[\w-]+){2,}")
# Where lists of hosts that send spam can be asked.
BLOCK_LISTS = r"(spamhaus|spamcop|barracudacentral|dnsbl|ipcheck)"
OF_A_BLOCK_LIST = re.compile(rf"(?<![\w.@-])(https?:\S*|[\w.-]*)\b{BLOCK_LISTS}\b[^\s@]*")
# How Postfix begins each answer at RCPT, whatever it is about.
POSTFIX = re.compile(r"(recipient|end-of-data|data) (address|command) rejected:")

TIME = r"(second|minute|hour|day|week|month|heure|jour|stunde|tag|ora|giorno|hora|dia)"
MEASURE = r"(quotas?|limits?|allowance|rates?|thresholds?)"
COUNTED = r"e?mails?|messages?|recipients?|defers|failures|connections?"
SENDING = r"(send|sends|sending|senders?|sender's|submission|outgoing|outbound|relay)"
NOT = r"(not|n't|never|unable to|cannot|denied|refus\w+|prohibit\w*|disallow\w*)"
CONNECTION = r"(connection|session)"

OF_THE_ACCOUNT = re.compile(
    "|".join(
        [
            # Relaying.
            rf"\brelay\w*( access)?( is| was)? ({NOT}|rejected|blocked|disabled)",
            rf"\b{NOT}( \w+){{0,4}} relay|\brcpthosts\b",
            # Log-in and encryption.
            r"\b(authenticat\w*|auth|log ?in|starttls|tls|encryption)( is| was)?,? (required|needed|first|mandatory)",
            r"\b(requires?|needs?|must|have to|please|turn on)( \w+){0,3} (authenticat\w*|log ?in|auth|starttls|tls)\b",
            rf"\b{NOT} (yet )?(authenticated|logged in)\b|\bunauthenticated\b|\bauthenticat\w* (has )?fail",
            r"\bfail\w* to (authenticate|log ?in)\b|\binvalid credentials\b",
            # How much may be sent.
            rf"\b{SENDING}\b[^.;:]{{0,40}}\b{MEASURE}\b|\b{MEASURE}\b[^.;:]{{0,40}}\b{SENDING}\b",
            rf"\b({COUNTED}|\d+) (allowed )?(per|an?|every|par|pro|por|al) {TIME}\b",
            r"\btoo many (\w+ ){0,2}(e?mails|messages|recipients|requests|connections|errors|users|addresses)\b",
            rf"\b(dai|hour|week|month)ly\b[^.;:]{{0,30}}\b({MEASURE}|cap|maximum|messages|e?mails|recipients)\b",
            r"\bmax(imum)?( \w+){0,3} (messages|e?mails|recipients)\b",
            r"\bthrottl|\brate[- ]?limit|\bfrequency\b|quotaexceeded|outboundspam|send ?as ?denied|\btoo fast\b",
            # What is paid for.
            r"\bcredits?\b|\bnot (yet )?activ(e|ated)\b|\bpending approval\b|\bunder review\b|\btrial\b",
            # Whether anything may be sent by this account, or from this address.
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
OF_ITS_STANDING = re.compile(
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
FOR_NOW = re.compile(
    r"\btemporar\w*|\btry( it)? again\b|\b(try|retry|resend)\b[^.;:]{0,20}\blater\b|\bservice (unavailable|refused)\b"
)
OF_A_QUOTA = re.compile(rf"\b{MEASURE}\b|\bexceed\w*")
# German, French, Italian and Spanish; without accents.
IN_OTHER_LANGUAGES = re.compile(
    r"\b(limite|limites|\w*limit|(tages|stunden)limits?|kontingent|(ue|u)berschritten|zu viele|gesperrt\w*|blockiert\w*"
    r"|absenders?|versand|sperrliste|voruebergehend|vorubergehend|spater|spaeter"
    r"|depasse\w*|trop de|bloque\w*|expediteur|envois?|liste noire|suspendu\w*|plus tard|temporairement"
    r"|superat[oai]|troppi|bloccat[oai]|mittente|invio|lista nera|sospes[oai]|piu tardi"
    r"|superad[oa]s?|excedid[oa]s?|excedio|demasiad[oa]s|bloquead[oa]s?|remitente|envios?|lista negra|suspendid[oa]s?"
    r"|exceso|mas tarde)\b"
)

OF_THE_CONTENT = re.compile(
    r"\b(links?|contains?|virus\w*|malware|infected|attachments?|phish\w*|body|surbl\w*|uribl\w*|html|spam ?score"
    r"|spam points|content filter\w*|banned:)|\.(exe|zip)\b"
)
OF_THE_SIZE = re.compile(r"\b(size\w*|too (large|big|long)|bytes|octets|\d+ ?[km]i?b)\b")
# A list, a group or a person that does not want mail from everybody.
OF_ITS_CHOICE = re.compile(
    r"\b(groups?|mailing list|(white|allow)[- ]?list|(allowed|safe|accepted) senders?|members?|resolver|moderat\w+"
    r"|by (the |this )?recipient|by (the|this) (user|owner)"
    r"|(recipient|mailbox|owner) (has|only|does|doesn't|will|blocks?)|user (only|does|doesn't|will|blocks?))\b"
)
OF_A_MAILBOX = re.compile(r"\b(mailbox|inbox|recipient|storage|disk|over[- ]?quota)\b")

DOUBTFUL = re.compile(
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
GREYLISTED = re.compile(r"\bgr[ea]y-?list|\bpostgrey\b")
OF_THE_CONNECTION = re.compile(rf"\b(this|per|one|each|a single|same) (smtp )?{CONNECTION}\b")


def plain(said: str) -> str:
    """The words to look at: in lower case, without accents, in one line, without names of places."""
    letters = normalize("NFKD", " ".join(said.casefold().split()))
    words = "".join(letter for letter in letters if not combining(letter)) if not letters.isascii() else letters
    return POSTFIX.sub(" ", PLACES.sub(" ", OF_A_BLOCK_LIST.sub(" dnsbl ", words)))


def accuse_account(words: str) -> bool:
    """Whether a refusal for now speaks of the sending account or of what it may send, and not of one mailbox."""
    if OF_ITS_CHOICE.search(words) or OF_THE_SIZE.search(words):
        return False
    if OF_THE_ACCOUNT.search(words):
        return True
    is_quota = (OF_A_QUOTA.search(words) or IN_OTHER_LANGUAGES.search(words)) and not OF_A_MAILBOX.search(words)
    return not OF_THE_CONTENT.search(words) and bool(OF_ITS_STANDING.search(words) or is_quota)


def accuse_sender(words: str) -> bool:
    """Whether they speak of the sending account, of what it may send, or of the standing of its host or domain.

    A wrong *yes* costs a mail some tries; a wrong *no* makes a dead letter of a mail that could be sent later.
    """
    if OF_THE_SIZE.search(words):
        return False
    if OF_THE_ACCOUNT.search(words) or IN_OTHER_LANGUAGES.search(words):
        return True
    if OF_ITS_CHOICE.search(words) or OF_THE_CONTENT.search(words):
        return False
    is_quota = OF_A_QUOTA.search(words) and not OF_A_MAILBOX.search(words)
    return bool(OF_ITS_STANDING.search(words) or FOR_NOW.search(words) or is_quota)


def doubt(words: str) -> bool:
    """Whether they name a cause other than the address, so that it must not be condemned."""
    return bool(DOUBTFUL.search(words) or IN_OTHER_LANGUAGES.search(words))


def speak_of_greylisting(words: str) -> bool:
    return bool(GREYLISTED.search(words))


def speak_of_the_connection(words: str) -> bool:
    """Whether they say that this connection has carried enough, which a fresh one has not."""
    return bool(OF_THE_CONNECTION.search(words))
