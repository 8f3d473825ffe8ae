"""What happens when somebody asks for a link by email address. Nothing tells whether the address is known."""

import ipaddress
import logging
from itertools import islice
from typing import Any

from django.contrib.auth import get_user_model
from django.db import router, transaction
from django.utils.crypto import salted_hmac

from notifications.core import clock
from notifications.core.rates import parse_rate
from notifications.delivering.limits import TokenRequest, take_tokens
from notifications.magic_links.send import send_magic_link
from notifications.models import Bucket, Cluster, MagicLink
from notifications.preference_centre.clusters import find_cluster, list_clusters
from notifications.sending.gates.facts import get_address_field

MAX_LINKS_PER_HOUR = 5
"""The links that one user can be sent within an hour, by whoever asks."""
MAX_USERS = 3
"""The users with the same address that get a link."""
MAX_ACCOUNTS = 100
"""The accounts with the same address among which active ones are looked for."""
REQUESTS_PER_CLIENT = parse_rate("20/h")
IPV6_PREFIX = 64
"""One client has all addresses of such a network."""
logger = logging.getLogger("notifications.magic_links")


def may_ask(client: str) -> bool:
    """Count a request, and return whether this client may ask now.

    :param client: the IP address. Its hash is stored, until an hour after the limit allows a full burst again.
    """
    using = router.db_for_write(Bucket)
    digest = salted_hmac("notifications.magic_links", _get_network(client), algorithm="sha256").hexdigest()
    request = TokenRequest(f"magic_links:{digest}", REQUESTS_PER_CLIENT)
    return bool(take_tokens({1: [request]}, using, clock.now(using)).ids)


def _get_network(client: str) -> str:
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        # A server on a Unix socket has no address of the client.
        return client
    if isinstance(address, ipaddress.IPv4Address):
        return client
    if address.ipv4_mapped is not None:
        # A server that listens on IPv6 gets the address of an IPv4 client in this form. All are in one /64 network.
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address), IPV6_PREFIX), strict=False))


def send_links(address: str, purpose: MagicLink.Purpose, cluster_key: str) -> None:
    """Send a link to the users with an email address who are members of the cluster.

    :param cluster_key: the primary key of the cluster; if empty, each user's first one.
    :raises MagicLinksUnavailable, EncryptionUnavailable, MissingExtra: if links cannot be sent.
    """
    for user in find_users(address):
        cluster = find_cluster(user, cluster_key) if cluster_key else next(iter(list_clusters(user)), None)
        if cluster is None:
            continue
        using = router.db_for_write(MagicLink)
        with transaction.atomic(using=using):
            rows = MagicLink.objects.using(using)
            # Of several requests at the same time, each counts the links of those before it.
            rows.lock_user(user)
            if rows.count_recent(user, clock.now(using)) >= MAX_LINKS_PER_HOUR:
                logger.warning("User %s was not sent a link: at most %s within an hour.", user.pk, MAX_LINKS_PER_HOUR)
                continue
            # Without clusters of its own, a site may not have stored the default one yet.
            send_magic_link(user, purpose, Cluster.objects.default() if cluster._state.adding else cluster)


def find_users(address: str) -> list[Any]:
    """Return the active users whose account has an email address, in any case, at most three.

    The link goes to the address that notifications use, never to the one that was typed in.
    """
    model: Any = get_user_model()
    field = get_address_field(model, "email")
    users = model._default_manager.filter(**{f"{field}__iexact": address}).order_by("pk")
    # In a user model of the site's own, is_active need not be a field.
    return list(islice((user for user in users[:MAX_ACCOUNTS] if user.is_active), MAX_USERS))
