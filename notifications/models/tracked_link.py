"""The URLs that tracked links lead to. A tracked link contains the number of a row and never a URL."""

import hashlib
from collections.abc import Collection
from datetime import datetime

from django.db import models
from django.utils.translation import gettext_lazy as _


def hash_url(url: str) -> str:
    """Return the hash by which the table finds a URL."""
    return hashlib.sha256(url.encode(errors="surrogatepass")).hexdigest()


class TrackedLinkQuerySet(models.QuerySet["TrackedLink"]):
    def store(self, urls: Collection[str], now: datetime) -> dict[str, int]:
        """Store URLs, each once; return their primary keys. It takes one query, or three if some are new."""
        by_hash = {hash_url(url): url for url in urls}
        keys = self._find_keys(by_hash.keys())
        new = [hashed for hashed in sorted(by_hash) if hashed not in keys]
        if new:
            rows = [TrackedLink(url_hash=hashed, url=by_hash[hashed], created_at=now) for hashed in new]
            self.bulk_create(rows, ignore_conflicts=True)  # type: ignore[arg-type]
            keys |= self._find_keys(new)
        return {url: keys[hashed] for hashed, url in by_hash.items()}

    def _find_keys(self, hashes: Collection[str]) -> dict[str, int]:
        return dict(self.filter(url_hash__in=hashes).values_list("url_hash", "pk"))


class TrackedLink(models.Model):
    """One URL. The row stays, because somebody may click an old mail."""

    url_hash = models.CharField(_("hash of the URL"), max_length=64, unique=True)
    url = models.TextField(_("URL"))
    created_at = models.DateTimeField(_("created at"))

    objects = TrackedLinkQuerySet.as_manager()

    class Meta:
        verbose_name = _("tracked link")
        verbose_name_plural = _("tracked links")

    def __str__(self) -> str:
        return self.url
