"""Limits the requests of an address and of a caller, with the token buckets of the database.

So they hold for all processes together. Counting happens in a short transaction of its own.
"""

import ipaddress
import math

from django.db import router
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from notifications import conf
from notifications.api.problems import Problem
from notifications.core import clock
from notifications.core.rates import parse_rate
from notifications.delivering.limits import TokenRequest, take_tokens
from notifications.models import Bucket

# The bits of an IPv6 address that one subscriber has.
IPV6_PREFIX = 64


def throttle_address(request: HttpRequest) -> None:
    """Count a request of an address, before the caller is known.

    :raises Problem: if ``ADDRESS_THROTTLE`` allows no more.
    """
    # Without a secret, one could try all addresses until the hash of one is the same.
    hashed = salted_hmac("notifications.api.address", find_address(request), algorithm="sha256").hexdigest()
    _take("ADDRESS_THROTTLE", f"address:{hashed[:32]}")


def throttle_caller(identity: str) -> None:
    """Count a request of a caller.

    :param identity: the key of the user or of the API key.
    :raises Problem: if ``THROTTLE`` allows no more.
    """
    _take("THROTTLE", f"caller:{identity}")


def _take(option: str, key: str) -> None:
    rate = conf.current().get_api_option(option)
    if not rate:
        return
    using = router.db_for_write(Bucket)
    # Without a wait for others: all requests of a client come from the same program.
    request = TokenRequest(f"api:{key}", parse_rate(rate), max_extra_wait=0.0)
    grant = take_tokens({0: [request]}, using, clock.cached_now(using))
    if grant.waits:
        seconds = max(math.ceil(grant.waits[0]), 1)
        detail = f"At most {rate} requests are allowed. Try again in {seconds} s."
        raise Problem("throttled", detail, headers={"Retry-After": str(seconds)})


def find_address(request: HttpRequest) -> str:
    """Return the address that a request comes from; of an IPv6 address, its network.

    With ``PROXIES``, it is the one that the outermost of that many proxies has added to ``X-Forwarded-For``. What a
    client writes there itself is further left and is not used.
    """
    proxies = conf.current().get_api_option("PROXIES")
    forwarded = request.headers.get("X-Forwarded-For", "").split(",")
    text = forwarded[-proxies] if 0 < proxies <= len(forwarded) else request.META.get("REMOTE_ADDR", "")
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        # A Unix socket has no address.
        return request.META.get("REMOTE_ADDR", "")
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address), IPV6_PREFIX), strict=False))
    return str(address)
