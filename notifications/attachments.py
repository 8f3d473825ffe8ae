"""Files that are attached to a notification, on the channels that support them."""

import mimetypes
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from notifications import conf
from notifications.exceptions import InvalidOption

OCTET_STREAM = "application/octet-stream"
MAX_ATTACHMENTS = 100
# The limit of file systems. Percent-encoded UTF-8 of this length fits on one line of a mail (RFC 5322, 2.1.1).
MAX_NAME_BYTES = 255
# Characters that end a line or a path, that a database cannot store, or that change the direction of writing: with
# these, "receipt\u202efdp.exe" is displayed as "receiptexe.pdf".
FORBIDDEN_IN_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029/\\\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
# RFC 6838, 4.2.
TYPE_NAME = r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}"
MIMETYPE_PATTERN = re.compile(f"{TYPE_NAME}/{TYPE_NAME}")
# RFC 2045, 5.1.
PARAMETER_CHARS = r"[!#$%&'*+.^_`{|}~0-9A-Za-z-]+"
PARAMETER_PATTERN = re.compile(rf""" *; *({PARAMETER_CHARS}) *= *(?:({PARAMETER_CHARS})|"([ !#-\[\]-~]*)") *""")
MAX_MIMETYPE_LENGTH = 255
# Types that consist of parts. They must not be base64-encoded (RFC 2045, 6.4), so their bytes would change.
COMPOSITE_TYPES = ("multipart/", "message/")


@dataclass(frozen=True, init=False)
class Attachment:
    """An attached file: ``Attachment("invoice.pdf", data, "application/pdf")``. Its bytes are delivered unchanged.

    :param name: the name that the recipient sees, without a path, in at most 255 bytes of UTF-8.
    :param content: bytes, or a text, which is encoded as UTF-8.
    :param mimetype: the type, with optional parameters such as ``text/calendar; method=REQUEST``; by default, it is
        guessed from the name. A text type becomes ``application/octet-stream`` if the content is not valid in its
        charset (by default UTF-8), and so does the guessed type of a mail (``.eml``).
    :raises InvalidOption: if an argument has the wrong type or is malformed.
    """

    name: str
    content: bytes = field(repr=False)
    mimetype: str

    def __init__(self, name: str, content: bytes | str, mimetype: str | None = None) -> None:
        object.__setattr__(self, "name", _validate_name(name))
        object.__setattr__(self, "content", _to_bytes(name, content))
        object.__setattr__(self, "mimetype", _validate_mimetype(name, mimetype))
        object.__setattr__(self, "mimetype", self._correct_mimetype(self.mimetype))

    @property
    def is_text(self) -> bool:
        """Whether the type is a text type."""
        return self.mimetype.startswith("text/")

    @property
    def kind(self) -> str:
        """The type without its parameters."""
        return self.mimetype.partition(";")[0]

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of the type, with their names in lower case."""
        matches = PARAMETER_PATTERN.finditer(_split_mimetype(self.mimetype)[1])
        return {match[1].lower(): match[2] or match[3] or "" for match in matches}

    @property
    def size(self) -> int:
        """The number of bytes of the name and the content; greater than 0 even for an empty file."""
        return len(self.name.encode()) + len(self.content)

    def _correct_mimetype(self, mimetype: str) -> str:
        if not mimetype.startswith("text/"):
            return mimetype
        charset = self.parameters.get("charset", "utf-8")
        try:
            self.content.decode(charset)
        except (UnicodeError, LookupError):
            return OCTET_STREAM
        return mimetype


def _validate_name(name: Any) -> str:
    if not isinstance(name, str) or not name.strip(" .") or FORBIDDEN_IN_NAME.search(name):
        raise InvalidOption(f"The name of an attachment must be a file name without a path, not {name!a:.80}.")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise InvalidOption(
            f"The name of an attachment may have {MAX_NAME_BYTES} bytes in UTF-8; {name!a:.80} is longer."
        )
    return name


def _to_bytes(name: str, content: Any) -> bytes:
    if not isinstance(content, bytes | bytearray | memoryview | str):
        raise InvalidOption(f"The content of attachment {name!a:.80} must be bytes or a text, not {content!r:.80}.")
    try:
        return content.encode() if isinstance(content, str) else bytes(content)
    except UnicodeEncodeError as error:
        raise InvalidOption(
            f"The content of attachment {name!a:.80} is a text with half of a surrogate pair."
        ) from error


def _validate_mimetype(name: str, given: Any) -> str:
    mimetype = _guess_mimetype(name) if given is None or given == "" else given
    kind, parameters = _split_mimetype(mimetype)
    if (
        not MIMETYPE_PATTERN.fullmatch(kind)
        or "".join(match[0] for match in PARAMETER_PATTERN.finditer(parameters)) != parameters
    ):
        raise InvalidOption(f"The mimetype of attachment {name!a:.80} must be like 'text/csv', not {mimetype!a:.80}.")
    if kind.startswith(COMPOSITE_TYPES):
        raise InvalidOption(
            f"Attachment {name!a:.80} cannot have the type {kind}: its bytes would change. Use {OCTET_STREAM!r}."
        )
    if len(mimetype := kind + parameters) > MAX_MIMETYPE_LENGTH:
        raise InvalidOption(f"The mimetype of attachment {name!a:.80} may have {MAX_MIMETYPE_LENGTH} characters.")
    return mimetype


def _split_mimetype(mimetype: Any) -> tuple[str, str]:
    """Return the type in lower case, and its parameters with the semicolon before them."""
    kind, semicolon, parameters = mimetype.partition(";") if isinstance(mimetype, str) else ("", "", "")
    return kind.strip(" ").lower(), (semicolon + parameters).strip(" ")


def _guess_mimetype(name: str) -> str:
    # "./" keeps guess_type() from reading a URL scheme. A compressed file does not have the type of its content.
    mimetype, compressed = mimetypes.guess_type(f"./{name}")
    is_known = mimetype and not compressed and not mimetype.startswith(COMPOSITE_TYPES)
    return mimetype if mimetype and is_known else OCTET_STREAM


def validate_attachments(given: Any) -> tuple[Attachment, ...]:
    """Validate the option ``attachments`` of ``send()``.

    :param given: a list, in which each item is an :class:`Attachment` or a tuple as in Django's ``EmailMessage``.
    :raises InvalidOption: if it is not a list, an item is invalid, or there are too many or too large attachments.
    """
    if given is None:
        return ()
    if isinstance(given, str | bytes | bytearray | Mapping | Attachment) or not isinstance(given, Iterable):
        raise InvalidOption(f"attachments must be a list, not {given!r:.80}.")
    attachments = tuple(map(_to_attachment, given))
    size, limit = get_total_size(attachments), conf.current().attachment_bytes
    if size > limit:
        raise InvalidOption(
            f"The attachments and their names have {size} bytes; NOTIFICATIONS['ATTACHMENT_BYTES'] allows {limit}. "
            "Send a link instead."
        )
    if len(attachments) > MAX_ATTACHMENTS:
        raise InvalidOption(f"A notification may have {MAX_ATTACHMENTS} attachments, not {len(attachments)}.")
    return attachments


def get_total_size(attachments: Iterable[Attachment]) -> int:
    """Return the number of bytes of all attachments and their names."""
    return sum(attachment.size for attachment in attachments)


def _to_attachment(given: Any) -> Attachment:
    if isinstance(given, Attachment):
        return given
    if not isinstance(given, tuple) or len(given) not in (2, 3):
        raise InvalidOption(f"An attachment is an Attachment(…) or (name, content, mimetype), not {given!r:.80}.")
    return Attachment(*given)
