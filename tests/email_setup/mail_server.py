"""A mail server on loopback with a certificate, over STARTTLS or TLS from the first byte."""

import ssl
import warnings
from contextlib import contextmanager

from aiosmtpd.controller import Controller

from tests.channels.servers import PostOffice


class LoopbackController(Controller):
    """Takes a free port."""

    def _trigger_server(self):
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def mail_server(certificate=None, starttls=True, newest_version=None, login=None):
    """Yield a server that stores its mails.

    :param certificate: the file of its certificate with its key; None for a server without TLS.
    :param newest_version: the newest version of TLS that it speaks.
    :param login: the name and password that it requires.
    """
    office, options = PostOffice(), {}
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        if newest_version:
            context.set_ciphers("ALL:@SECLEVEL=0")
            with warnings.catch_warnings():
                # Python warns of the versions that the test is about.
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version, context.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED, newest_version
        options = {"tls_context": context} if starttls else {"ssl_context": context}
    if login:
        from aiosmtpd.smtp import AuthResult

        wanted = tuple(text.encode() for text in login)
        options["authenticator"] = lambda server, session, envelope, mechanism, data: AuthResult(
            success=(data.login, data.password) == wanted, handled=False
        )
        options["auth_require_tls"] = bool(certificate)
        options["auth_required"] = True
    controller = LoopbackController(office, "127.0.0.1", 0, **options)
    controller.start()
    office.port = controller.port
    try:
        yield office
    finally:
        controller.stop()
