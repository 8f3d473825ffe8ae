"""Tell machines from people: programs open and click mails before anybody reads them. All functions here are pure.

Machine hits are recorded and counted apart. The signs are those that the programs document or send; a program that
hides among browsers is recognised only by its speed.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

# Several different links of a mail within this time are a scanner's.
BURST = timedelta(seconds=1)
PREFETCH_HEADERS = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
PREFETCH = re.compile(r"prefetch|preview|prerender|instant", re.IGNORECASE)
SIGNS = (
    # Gmail's image proxy, and that of Yahoo.
    ("google", re.compile(r"GoogleImageProxy|ggpht\.com|via Google", re.IGNORECASE)),
    ("yahoo", re.compile(r"YahooMailProxy", re.IGNORECASE)),
    # Mail Privacy Protection of Apple loads all images through relays, with a user agent of this one word.
    ("apple", re.compile(r"^Mozilla/5\.0$")),
    (
        "robot",
        re.compile(
            r"bot\b|crawl|spider|scanner|preview|safelinks|barracuda|mimecast|proofpoint|symantec|curl/|wget/"
            r"|python-requests|python-urllib|go-http-client|java/|headlesschrome|facebookexternalhit",
            re.IGNORECASE,
        ),
    ),
)
# Fields in which services say that a machine has opened or clicked.
RAW_SIGNS = {
    "SendGrid": lambda raw: bool(raw.get("sg_machine_open")),
    "Brevo": lambda raw: "proxy_open" in str(raw.get("event")),
    "Mailgun": lambda raw: bool(((raw.get("event-data") or {}).get("client-info") or {}).get("bot")),
}


def find_machine_sign(method: str, headers: Mapping[str, str]) -> str:
    """Return the sign by which a request is a machine's; empty if it may be a person's."""
    if method == "HEAD":
        return "head"
    if any(PREFETCH.search(headers.get(name, "")) for name in PREFETCH_HEADERS):
        return "prefetch"
    agent = headers.get("User-Agent", "").strip()
    return find_agent_sign(agent) if agent else "no user agent"


def find_agent_sign(agent: str) -> str:
    """Return the sign in the name of a program; empty if there is none."""
    return next((sign for sign, pattern in SIGNS if pattern.search(agent)), "")


def find_reported_sign(esp_name: str, raw: Any, agent: str) -> str:
    """Return the sign by which an open or click that a service reports is a machine's; empty if there is none."""
    is_machine = RAW_SIGNS.get(esp_name)
    if is_machine and isinstance(raw, Mapping) and is_machine(raw):
        return "service"
    return find_agent_sign(agent)
