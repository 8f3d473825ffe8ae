"""The operations of the HTTP API, which django-ninja validates and describes."""

from notifications.core.extras import import_optional

import_optional("ninja")
