"""What the publish gate and the preview refuse in a message: texts that are too long, templates that are too slow."""

import re
from collections.abc import Iterator, Sequence

from django.utils.translation import gettext as _

from notifications.channels.base import SUBJECT, Rendered
from notifications.staff_templates.cage.faults import TemplateFault
from notifications.staff_templates.stopping import USUAL_SECONDS

UNDEFINED_NAME = re.compile(r"'[A-Za-z_][A-Za-z0-9_]*' is undefined")
MAX_SUBJECT_CHARACTERS = 200
MAX_PART_BYTES = 102_400
"""Gmail shows no more of a part than this."""
MAX_SECONDS = 0.25
"""The CPU time for a message, with the compilation. A worker stops a template only after more, see ``cage.budget``."""


def find_message_problems(rendered: Rendered, seconds: float) -> Iterator[str]:
    """Yield a sentence for each reason not to send a message: it is empty, too long or too slow."""
    subject = rendered.parts.get(SUBJECT)
    if subject is not None and not subject:
        yield _("The subject is empty.")
    if subject and len(subject) > MAX_SUBJECT_CHARACTERS:
        values = {"count": len(subject), "limit": MAX_SUBJECT_CHARACTERS}
        yield _("The subject has %(count)d characters; at most %(limit)d are allowed.") % values
    for part, text in rendered.parts.items():
        if (size := len(text.encode())) > MAX_PART_BYTES:
            sizes = {"part": part, "size": f"{size:,}", "limit": f"{MAX_PART_BYTES:,}"}
            yield _("The part %(part)s has %(size)s bytes; mail programs cut it after %(limit)s.") % sizes
    if seconds > MAX_SECONDS:
        times = {"seconds": f"{seconds:.2f}", "limit": MAX_SECONDS}
        yield _("It took %(seconds)s s of CPU time; at most %(limit)s s are allowed.") % times


def find_average_problem(seconds: Sequence[float]) -> str:
    """Return a sentence if messages take too long on average; empty if they do not."""
    average = sum(seconds) / len(seconds) if seconds else 0.0
    if average <= USUAL_SECONDS:
        return ""
    values = {"seconds": f"{average:.2f}", "limit": USUAL_SECONDS}
    return _("A message takes %(seconds)s s of CPU time on average; at most %(limit)s s are allowed.") % values


def describe_failure(error: Exception, shows_values: bool) -> str:
    """Return what to say about a message that cannot be rendered.

    :param shows_values: whether the text may contain values of the message. A template can put them into messages of
        errors; only the name of a variable that is undefined certainly comes from the template.
    """
    if shows_values:
        return str(error)
    if not isinstance(error, TemplateFault):
        return type(error).__name__
    if UNDEFINED_NAME.fullmatch(error.message) or error.is_stopped:
        return str(error)
    return str(TemplateFault(error.kind, "", error.part, error.line))
