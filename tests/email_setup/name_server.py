"""A DNS server on loopback, written with another library than the one that the package uses."""

from contextlib import contextmanager

from dnslib import QTYPE, RCODE, RR, TXT
from dnslib.server import BaseResolver, DNSLogger, DNSServer

from tests.ports import find_free_port


class Zone(BaseResolver):
    """Answers TXT queries from a dict. A name with the value None fails as a broken server does."""

    def __init__(self):
        self.texts = {}
        self.queries = []

    def resolve(self, request, handler):
        name = str(request.q.qname).rstrip(".").lower()
        self.queries.append(name)
        reply = request.reply()
        if name not in self.texts:
            reply.header.rcode = RCODE.NXDOMAIN
        elif self.texts[name] is None:
            reply.header.rcode = RCODE.SERVFAIL
        else:
            for text in self.texts[name]:
                # A string of a TXT record has 255 octets at most.
                parts = [text[start : start + 255] for start in range(0, len(text), 255)]
                reply.add_answer(RR(request.q.qname, QTYPE.TXT, rdata=TXT(parts), ttl=1))
        return reply


@contextmanager
def name_server():
    """Yield a zone that is served on loopback; ``zone.address`` is the value for ``--nameserver``."""
    zone = Zone()
    silent = DNSLogger("-request,-reply,-truncated,-error,-recv,-send,-data")
    port = find_free_port()
    servers = [DNSServer(zone, address="127.0.0.1", port=port, tcp=tcp, logger=silent) for tcp in (False, True)]
    zone.address = f"127.0.0.1:{port}"
    for server in servers:
        server.start_thread()
    try:
        yield zone
    finally:
        for server in servers:
            server.stop()
            server.server.server_close()
