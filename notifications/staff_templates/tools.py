"""What the editor does with texts that may be hostile: inline CSS, find faults, compare versions. In the cage."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from notifications.core import extras
from notifications.models.template import VARIANTS
from notifications.staff_templates.cage.budget import MAX_SOURCE_CHARACTERS
from notifications.staff_templates.cage.faults import STOPPED, ProcessLost, TemplateFault
from notifications.staff_templates.cage.process import UNREADABLE, CageProcess

PROGRAM = "from notifications.staff_templates.cage.editor_child import main; main()"
MODULES = ("css_inline", "django")
LINK_FAULTS = {
    "empty": gettext_lazy("The link %(link)r is empty."),
    "anchor": gettext_lazy("The link %(link)r leads to an anchor that does not exist."),
    "malformed": gettext_lazy("The link %(link)r is malformed."),
    "relative": gettext_lazy("The link %(link)r is relative; begin it with {{ base_url }}."),
    "scheme": gettext_lazy("The link %(link)r has a scheme that mail programs refuse."),
}
MARKUP_FAULTS = {
    "comment": gettext_lazy("A comment has no end. It hides the rest of the email, with the footer."),
    "tag": gettext_lazy("The tag <%(name)s> has no end. It hides the rest of the email, with the footer."),
    "unclosed": gettext_lazy("The element <%(name)s> has no end tag, so it can hide the footer of the email."),
    "outside": gettext_lazy("The tag <%(name)s> is in no table of the template, so it breaks the layout of the email."),
    "removed": gettext_lazy("Many mail programs remove the element <%(name)s>."),
    "attribute": gettext_lazy("Many mail programs remove the attribute %(name)s."),
}


def inline_texts(texts: Mapping[str, str]) -> dict[str, str]:
    """Return the texts of a version, with the CSS of the HTML inlined if css-inline is installed.

    It is done once for each version. Several mail programs ignore ``<style>`` elements.

    :raises TemplateFault: if the CSS cannot be read, or takes too long.
    :raises RenderingUnavailable: if the cage cannot be used at present.
    """
    html = texts["html"]
    if "<style" not in html.lower() or not extras.is_installed("css_inline"):
        return dict(texts)
    return {**texts, "html": inline_css(html)}


def inline_css(html: str) -> str:
    """Return the HTML of a template with the rules of its ``<style>`` elements as ``style`` attributes.

    :raises TemplateFault, RenderingUnavailable: as :func:`inline_texts`.
    """
    if len(html) > MAX_SOURCE_CHARACTERS:
        raise TemplateFault("ValueError", f"It has more than {MAX_SOURCE_CHARACTERS} characters.", "html")
    [inlined] = _run("inline_css", [[html]], "Its CSS cannot be inlined.")
    return str(inlined)


def find_broken_links(pages: Sequence[str], shows_links: bool = True) -> list[list[str]]:
    """Return sentences for each page about its links that cannot work: the first few. No address is requested.

    :param shows_links: whether the sentences contain the links.

    :raises TemplateFault: if reading a page takes too long.
    :raises RenderingUnavailable: if the cage cannot be used at present.
    """
    found = iter(_run("find_broken_links", [[page] for page in pages if page], "Its links cannot be read."))
    return [[_describe_link(link, fault, shows_links) for link, fault in next(found)] if page else [] for page in pages]


def find_markup_faults(fragments: Sequence[str], shows_names: bool = True) -> list[list[str]]:
    """Return sentences for the HTML of each message: the first faults that hide the footer.

    They also name markup that mail programs remove.

    :param shows_names: whether the sentences contain the names of tags and attributes.
    :raises TemplateFault, RenderingUnavailable: as :func:`find_broken_links`.
    """
    jobs = [[fragment] for fragment in fragments if fragment]
    found = iter(_run("find_markup_faults", jobs, "Its HTML cannot be read."))
    sentences = []
    for fragment in fragments:
        faults = next(found) if fragment else ()
        sentences.append([str(MARKUP_FAULTS[fault] % {"name": name if shows_names else "…"}) for name, fault in faults])
    return sentences


def _describe_link(link: str, fault: str, shows_link: bool) -> str:
    return str(LINK_FAULTS[fault] % {"link": link if shows_link else "…"})


def build_diff(old: Mapping[str, str], new: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the lines of a unified diff of two versions, each with its kind: add, remove, head or same.

    :raises TemplateFault: if comparing takes too long.
    :raises RenderingUnavailable: if the cage cannot be used at present.
    """
    sides = [[texts.get(name, "") for name in VARIANTS] for texts in (old, new)]
    labels = [(_("%s, as saved") % name, _("%s, yours") % name) for name in VARIANTS]
    [lines] = _run("compare", [[*sides, labels]], "The versions cannot be compared.")
    return [(str(kind), str(line)) for kind, line in lines]


def _run(tool: str, jobs: Sequence[Sequence[Any]], consequence: str) -> list[Any]:
    """Return the result of a tool for each list of arguments. It takes a process of its own.

    :raises TemplateFault: if the texts are faulty or hostile.
    :raises RenderingUnavailable: if the cage cannot be used at present.
    """
    if not jobs:
        return []
    process = CageProcess(PROGRAM, MODULES)
    try:
        answers = list(process.ask({"jobs": [[tool, *arguments] for arguments in jobs]}, len(jobs)))
        if faults := [answer["fault"] for answer in answers if "fault" in answer]:
            raise TemplateFault("ValueError", str(faults[0])[:300], "html")
        return [json.loads(answer["parts"]["result"]) for answer in answers]
    except ProcessLost as error:
        raise TemplateFault(STOPPED, f"{error} {consequence}", "html") from error
    except UNREADABLE as error:
        raise TemplateFault(STOPPED, f"Its answer cannot be read. {consequence}", "html") from error
    finally:
        process.kill()
