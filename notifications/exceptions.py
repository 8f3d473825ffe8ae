"""The errors that Klaxon raises. Their messages say what to change. All derive from ``KlaxonError``."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import PermissionDenied, SynchronousOnlyOperation


class KlaxonError(Exception):
    """The base class of all errors of Klaxon."""


class UnknownEvent(KlaxonError, LookupError):
    """``send()`` was called with an event that is not registered."""


class InvalidContext(KlaxonError, ValueError):
    """The context of a ``send()`` does not match what its event declares, or cannot be stored."""


class InvalidRecipient(KlaxonError, TypeError):
    """A recipient is not a user, a group, a queryset of these, or a class of ``notifications.recipients``."""


class InvalidCluster(KlaxonError, ValueError):
    """The cluster of a ``send()`` is missing, unsaved, or not of the configured model."""


class InvalidOption(KlaxonError, ValueError):
    """An option of ``send()`` has an invalid value."""


class NotPermitted(KlaxonError, PermissionDenied):
    """The user is not permitted to send an event, resend a delivery or acknowledge a notification.

    In a view, Django answers with the status 403.
    """


class ActionUnavailable(KlaxonError):
    """An inbox item does not offer the action that its user wants to take. The message is for the user."""


class CalledFromAsyncCode(KlaxonError, SynchronousOnlyOperation):
    """A synchronous function, such as ``send()``, was called in async code, where Django does not allow queries."""


class IdempotencyConflict(KlaxonError):
    """The same idempotency key was used again with different content."""


class ChannelNotConfigured(KlaxonError, LookupError):
    """A delivery has a channel that is not in ``NOTIFICATIONS["CHANNELS"]`` or is disabled."""


class CredentialsFault(KlaxonError):
    """The provider of a channel refuses the settings of the site, or cannot be asked. The text contains no secret.

    :param options: the options of the channel that may be wrong.
    :param remedy: what to do, if it is something else than to correct these options.
    """

    def __init__(self, message: str, options: Sequence[str] = (), remedy: str = "") -> None:
        super().__init__(message)
        self.options, self.remedy = tuple(options), remedy


class TemplateMissing(KlaxonError, LookupError):
    """An event lacks a template that a channel requires."""


class MagicLinksUnavailable(KlaxonError):
    """The site cannot send magic links. The message names the setting to change."""


class RenderingUnavailable(KlaxonError):
    """A message cannot be rendered at present. Its delivery is valid and waits.

    :param retry_after: the seconds after which it is tried again.
    """

    def __init__(self, message: str, retry_after: float = 30.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class EditConflict(KlaxonError):
    """Somebody has saved another version of a staff template since it was opened for editing.

    :param latest: the version that was saved, or None if there is none.
    :param texts: the texts that were refused, by variant.
    """

    def __init__(self, latest: Any, texts: Mapping[str, str]) -> None:
        super().__init__(
            f"Version {latest.number} was saved in the meantime." if latest else "All versions were deleted."
        )
        self.latest, self.texts = latest, texts


class PublishRefused(KlaxonError):
    """A version of a staff template was not published, because notifications would break.

    :param problems: a sentence for each problem, which names the notification.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


class EncryptionUnavailable(KlaxonError):
    """The content of a sensitive event cannot be encrypted, because the site has no key."""


class DecryptionFailed(KlaxonError):
    """Encrypted content cannot be read: the site does not have its key, or the content was changed."""


class ContentIsSensitive(KlaxonError):
    """Code that is not allowed to show the content of a sensitive event tried to render it."""


class OutboxFull(KlaxonError):
    """A spooled call cannot be queued yet, because the outbox is full."""


class SpoolBusy(KlaxonError):
    """Another process is replaying the spool."""


class SpoolDamaged(KlaxonError, ValueError):
    """A line of the spool is damaged."""


class AddressForbidden(KlaxonError):
    """The URL of a webhook endpoint leads to an address that the site does not allow. The message is for the user."""


class AppendOnlyViolation(KlaxonError, TypeError):
    """Code tried to change or delete rows of an append-only table, such as the notification log."""


class RecordingUnreadable(KlaxonError, ValueError):
    """A CAN recording cannot be opened, or its format is unknown."""


class MissingExtra(KlaxonError, ImportError):
    """A feature needs an optional dependency that is not installed.

    :param module: the top-level module that could not be imported.
    :param extra: the extra that installs it.
    """

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"{module!r} is not installed. Install it with: pip install 'django-klaxon[{extra}]'")
        self.module, self.extra = module, extra
