"""Errors that Klaxon raises. Each names what to change; all derive from ``KlaxonError``."""

from django.core.exceptions import PermissionDenied, SynchronousOnlyOperation


class KlaxonError(Exception):
    """Base class, so that a host can catch everything of ours with one name."""


class UnknownEvent(KlaxonError, LookupError):
    """``send()`` was called with an event that nobody registered."""


class InvalidContext(KlaxonError, ValueError):
    """The context of a ``send()`` does not match what its event declares, or cannot be stored."""


class InvalidRecipient(KlaxonError, TypeError):
    """Something among the recipients is neither a user, a group, a queryset of these, nor a word of ``recipients``."""


class InvalidCluster(KlaxonError, ValueError):
    """The cluster given to ``send()`` is missing, unsaved or of another model than the configured one."""


class InvalidOption(KlaxonError, ValueError):
    """An option of ``send()`` has a value that cannot work."""


class NotPermitted(KlaxonError, PermissionDenied):
    """Somebody may not do this: send an event, send again, acknowledge. In a view Django answers with 403."""


class CalledFromAsyncCode(KlaxonError, SynchronousOnlyOperation):
    """A synchronous call, such as ``send()``, was made in async code, where Django lets nobody use the database."""


class IdempotencyConflict(KlaxonError):
    """The same idempotency key came back with another content."""


class ChannelNotConfigured(KlaxonError, LookupError):
    """A delivery names a channel that ``NOTIFICATIONS["CHANNELS"]`` does not have, or has switched off."""


class TemplateMissing(KlaxonError, LookupError):
    """An event has no template for a channel part that this channel cannot do without."""


class OutboxFull(KlaxonError):
    """What was spooled finds no room in the outbox yet."""


class SpoolBusy(KlaxonError):
    """Another process is replaying the spool."""


class SpoolDamaged(KlaxonError, ValueError):
    """A line of the spool is not what was written."""


class AppendOnlyViolation(KlaxonError, TypeError):
    """Code tried to change or delete rows of a table whose rows are only added, such as the notification log."""


class RecordingUnreadable(KlaxonError, ValueError):
    """A CAN recording cannot be opened or is of no known format."""


class MissingExtra(KlaxonError, ImportError):
    """A feature needs an optional dependency that is not installed.

    :param module: the top-level module that could not be imported.
    :param extra: the extra of the distribution that brings it.
    """

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"{module!r} is not installed. Install it with: pip install 'django-klaxon[{extra}]'")
        self.module, self.extra = module, extra
