"""The errors of email services over HTTP: those of django-anymail and of the libraries that it uses.

The extra ``anymail`` installs them. Without it none of these errors can occur, and all tuples are empty.
"""

from typing import Any

from notifications.core import extras

ErrorTypes = tuple[type[Any], ...]

BACKENDS: ErrorTypes = ()
ERRORS: ErrorTypes = ()
API_ERRORS: ErrorTypes = ()
REFUSALS: ErrorTypes = ()
MISCONFIGURED: ErrorTypes = ()
UNREACHABLE: ErrorTypes = ()
REQUEST_SENT: ErrorTypes = ()
NEVER_CONNECTED: ErrorTypes = ()

if extras.is_installed("anymail"):
    import requests
    import urllib3
    from anymail import exceptions
    from anymail.backends.base import AnymailBaseBackend

    BACKENDS = (AnymailBaseBackend,)
    ERRORS = (exceptions.AnymailError,)
    API_ERRORS = (exceptions.AnymailAPIError,)
    REFUSALS = (exceptions.AnymailRecipientsRefused, exceptions.AnymailInvalidAddress)
    MISCONFIGURED = (exceptions.AnymailConfigurationError,)
    UNREACHABLE = (
        requests.ConnectTimeout,
        urllib3.exceptions.NewConnectionError,
        urllib3.exceptions.ConnectTimeoutError,
    )
    # The request was sent, at least in part.
    REQUEST_SENT = (
        requests.ReadTimeout,
        requests.exceptions.ChunkedEncodingError,
        urllib3.exceptions.ReadTimeoutError,
        urllib3.exceptions.ProtocolError,
    )
    NEVER_CONNECTED = (requests.exceptions.ProxyError, urllib3.exceptions.ProxyError)
