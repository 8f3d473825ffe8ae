"""The published templates, as each process keeps them.

For each group of messages, a process reads which version of which template is published: one statement on a small
table. While none is, it looks once a second. The texts are read once for each version, because a version never changes.
"""

import hashlib
import threading
import time
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from django.template import Engine, TemplateDoesNotExist

from notifications.channels import BaseChannel
from notifications.channels.base import SUBJECT, TEXT
from notifications.delivering.rendering.templates import get_template_name, get_template_places, list_languages
from notifications.models import StaffTemplate, StaffTemplateVersion
from notifications.staff_templates.cage.pool import Source

CHECK_INTERVAL = 1.0
"""Seconds after which a process looks for published versions while there are none."""
PART_VARIANTS = {SUBJECT: "subject", "html": "html", TEXT: "text", "short.txt": "short"}
"""The variant of a version by template part."""

Key = tuple[str, str, Any, str]
"""Event, channel, primary key of the cluster or None, and language."""


@dataclass(frozen=True)
class PublishedTemplate:
    """A template with a published version. ``fault`` is why workers do not use the version; empty if they do."""

    pk: int
    version_id: int
    fault: str


class PublishedTemplates:
    """The published templates of one database."""

    def __init__(self, using: str) -> None:
        self.using = using
        self._by_key: dict[Key, PublishedTemplate] = {}
        self._texts: dict[int, Mapping[str, str]] = {}
        self._sources: dict[tuple[int, Sequence[str], bool], Source] = {}
        self._files: dict[tuple[str, str, str, str], bool] = {}
        self._read_at: float | None = None
        self._lock = threading.Lock()

    def refresh(self) -> bool:
        """Read which versions are published, and return whether there are any."""
        now = time.monotonic()
        if not self._by_key and self._read_at is not None and now - self._read_at < CHECK_INTERVAL:
            return False
        rows = StaffTemplate.objects.using(self.using).filter(published__isnull=False).order_by()
        columns = ("event", "channel", "cluster_id", "language", "pk", "published_id", "published__fault")
        found = {row[:4]: PublishedTemplate(*row[4:]) for row in rows.values_list(*columns)}
        with self._lock:
            if found != self._by_key:
                current = {template.version_id for template in found.values()}
                self._texts = {pk: texts for pk, texts in self._texts.items() if pk in current}
                self._files, self._sources, self._by_key = {}, {}, found
            self._read_at = now
        return bool(found)

    def forget(self) -> None:
        """Let the next call of :meth:`refresh` read in any case."""
        self._read_at = None

    def find(self, event: str, channel: str, cluster_id: Any, language: str, part: str) -> PublishedTemplate | None:
        """Return the template of a message, or None if it has a template file in a closer language, or neither.

        As for template files, the language may be shortened. In the same language, the template of the cluster comes
        before that of all clusters, and both before the file.

        :param part: the part by which a template file is recognised.
        """
        for place in get_template_places(event, "", channel):
            for code in list_languages(language):
                for cluster in (cluster_id, None):
                    if found := self._by_key.get((*place, cluster, code)):
                        return found
                if self._has_file(*place, part, code):
                    return None
        return None

    def _has_file(self, event: str, channel: str, part: str, language: str) -> bool:
        key = event, channel, part, language
        if key not in self._files:
            try:
                Engine.get_default().get_template(get_template_name(*key))
                self._files[key] = True
            except TemplateDoesNotExist:
                self._files[key] = False
        return self._files[key]

    def load_sources(self, version_ids: Set[int], channel: BaseChannel) -> dict[int, Source]:
        """Return the texts of these versions for a channel. It takes at most one query."""
        texts, sources = self._texts, self._sources  # another thread may replace them
        missing = version_ids - texts.keys()
        if missing:
            for version in StaffTemplateVersion.objects.using(self.using).filter(pk__in=missing):
                texts[version.pk] = {**version.texts, "html": version.inlined_html or version.html}
        names, derives_text = (*channel.required_parts, *channel.optional_parts), TEXT in channel.derived_parts
        found = {}
        for pk in version_ids & texts.keys():
            key = pk, names, derives_text
            if key not in sources:
                sources[key] = build_source(texts[pk], names, derives_text)
            found[pk] = sources[key]
        return found


def build_source(texts: Mapping[str, str], parts: Iterable[str], derives_text: bool) -> Source:
    """Return the variants of a version that a channel with these parts uses, without the empty ones.

    A channel without a subject, such as SMS, uses the short text where there is one.
    """
    names = tuple(parts)
    chosen = {part: texts[PART_VARIANTS[part]] for part in names if part in PART_VARIANTS}
    if SUBJECT not in names and TEXT in chosen:
        chosen[TEXT] = texts["short"] or chosen[TEXT]
    used = {part: text for part, text in chosen.items() if text.strip()}
    # Versions of two databases can have the same primary key, but a process of the cage renders for both.
    key = hashlib.sha256(repr((sorted(used.items()), derives_text)).encode(errors="surrogatepass")).hexdigest()
    return Source(key, used, derives_text)


_by_database: dict[str, PublishedTemplates] = {}


def get_published(using: str) -> PublishedTemplates:
    """Return the published templates of a database, as this process keeps them."""
    return _by_database.setdefault(using, PublishedTemplates(using))


def forget_published() -> None:
    """Let this process read the published versions again before its next message."""
    for published in _by_database.values():
        published.forget()
