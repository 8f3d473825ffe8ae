"""What the email channel knows of services over HTTP: django-anymail and the libraries that it calls.

They come with the extra ``anymail``. Without it none of these errors can occur, and every tuple is empty.
"""

from typing import Any

from notifications.core import extras

Kinds = tuple[type[Any], ...]

BACKENDS: Kinds = ()
ERRORS: Kinds = ()
API_ERRORS: Kinds = ()
REFUSALS: Kinds = ()
NOT_SET_UP: Kinds = ()
UNREACHABLE: Kinds = ()
UNDER_WAY: Kinds = ()
NEVER_CONNECTED: Kinds = ()

if extras.is_installed("anymail"):
    import requests
    import urllib3
    from anymail import exceptions
    from anymail.backends.base import AnymailBaseBackend

    BACKENDS = (AnymailBaseBackend,)
    ERRORS = (exceptions.AnymailError,)
    API_ERRORS = (exceptions.AnymailAPIError,)
    REFUSALS = (exceptions.AnymailRecipientsRefused, exceptions.AnymailInvalidAddress)
    NOT_SET_UP = (exceptions.AnymailConfigurationError,)
    UNREACHABLE = (
        requests.ConnectTimeout,
        urllib3.exceptions.NewConnectionError,
        urllib3.exceptions.ConnectTimeoutError,
    )
    # The request was on its way, or its answer.
    UNDER_WAY = (
        requests.ReadTimeout,
        requests.exceptions.ChunkedEncodingError,
        urllib3.exceptions.ReadTimeoutError,
        urllib3.exceptions.ProtocolError,
    )
    NEVER_CONNECTED = (requests.exceptions.ProxyError, urllib3.exceptions.ProxyError)
