"""The CSS of a template, inlined once for each version, because several mail programs ignore ``<style>`` elements."""

from collections.abc import Mapping

from notifications.core import extras
from notifications.staff_templates.cage.budget import MAX_SOURCE_CHARACTERS
from notifications.staff_templates.cage.faults import STOPPED, ProcessLost, TemplateFault
from notifications.staff_templates.cage.process import CageProcess

PROGRAM = "from notifications.staff_templates.cage.css_child import main; main()"
MODULES = ("css_inline", "django")
"""What the program needs in addition to Jinja2."""


def inline_texts(texts: Mapping[str, str]) -> dict[str, str]:
    """Return the texts of a version, with the CSS of the HTML inlined if css-inline is installed.

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
    process = CageProcess(PROGRAM, MODULES)
    try:
        [answer] = process.ask({"jobs": [html]}, 1)
    except ProcessLost as error:
        raise TemplateFault(STOPPED, f"{error} Its CSS cannot be inlined.", "html") from error
    finally:
        process.kill()
    if "fault" in answer:
        raise TemplateFault("ValueError", str(answer["fault"]), "html")
    return str(answer["parts"]["html"])
