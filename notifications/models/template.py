"""Templates that staff edit in the database, and their versions.

A version is added and never changed. Publishing names the version that workers use, so a rollback is publishing an
earlier version. Without a published version, the template files are used.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import IntegrityError, models, router, transaction
from django.utils.translation import gettext_lazy as _

from notifications.core import clock
from notifications.exceptions import EditConflict

VARIANTS = ("subject", "html", "text", "short")
"""The texts of a version: fields of :class:`StaffTemplateVersion`."""


class StaffTemplate(models.Model):
    """A template of staff for one event, channel and language, of one cluster or of all."""

    event = models.CharField(_("event"), max_length=100)
    channel = models.CharField(_("channel"), max_length=50)
    language = models.CharField(
        _("language"),
        max_length=20,
        blank=True,
        help_text=_("A code such as de or de-at; empty for readers of every language without a template of their own."),
    )
    cluster = models.ForeignKey(
        settings.NOTIFICATIONS_CLUSTER_MODEL,
        verbose_name=_("cluster"),
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        help_text=_("Empty for all clusters without a template of their own."),
    )
    published = models.ForeignKey(
        "klaxon.StaffTemplateVersion",
        verbose_name=_("published version"),
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
    )
    published_at = models.DateTimeField(_("published at"), null=True, blank=True)

    class Meta:
        verbose_name = _("staff template")
        verbose_name_plural = _("staff templates")
        ordering = ("event", "channel", "language", "pk")
        permissions = [("publish_stafftemplate", "Can publish staff templates")]
        constraints = [
            models.UniqueConstraint(
                fields=["event", "channel", "language"],
                condition=models.Q(cluster__isnull=True),
                name="klaxon_stafftemplate_once",
                violation_error_message=_("There is a template for this event, channel and language already."),
            ),
            models.UniqueConstraint(
                fields=["event", "channel", "language", "cluster"],
                condition=models.Q(cluster__isnull=False),
                name="klaxon_stafftemplate_cluster",
                violation_error_message=_("The cluster has a template for this event, channel and language already."),
            ),
        ]

    def __str__(self) -> str:
        place = f"{self.event}/{self.channel}"
        return f"{place}.{self.language}" if self.language else place

    def clean(self) -> None:
        self.language = self.language.strip().lower().replace("_", "-")

    @property
    def latest(self) -> "StaffTemplateVersion | None":
        """The version with the highest number, or None if there is none."""
        return self.versions.order_by("-number").first()

    def save_version(
        self, texts: Mapping[str, str], expected_version: int, author: Any = None, comment: str = ""
    ) -> "StaffTemplateVersion":
        """Add a version and return it. If nothing has changed, return the latest version.

        :param texts: the texts by variant.
        :param expected_version: the number of the version that the author has edited; 0 if there was none.
        :raises EditConflict: if somebody has saved another version since.
        """
        using = router.db_for_write(StaffTemplate, instance=self)
        try:
            with transaction.atomic(using=using):
                StaffTemplate.objects.using(using).select_for_update().get(pk=self.pk)
                latest = self.versions.using(using).order_by("-number").first()
                if (latest.number if latest else 0) != expected_version:
                    raise EditConflict(latest, texts)
                if latest is not None and all(getattr(latest, name) == texts.get(name, "") for name in VARIANTS):
                    return latest
                values = {name: texts.get(name, "") for name in VARIANTS}
                return self.versions.using(using).create(
                    template=self, number=expected_version + 1, author=author, comment=comment, **values
                )
        except IntegrityError as error:
            # Without row locks, as on SQLite, the unique number decides.
            latest = self.versions.using(using).order_by("-number").first()
            if latest is None or latest.number <= expected_version:
                raise
            raise EditConflict(latest, texts) from error

    def set_published(self, version: "StaffTemplateVersion | None", now: datetime) -> None:
        """Let workers use a version, or the template files if it is None."""
        self.published, self.published_at = version, now
        self.save(update_fields=["published", "published_at"])


class StaffTemplateVersion(models.Model):
    """The texts of a template as one person has saved them. An empty text means that there is no such part.

    ``inlined_html`` is the HTML with its CSS inlined, from the first publishing of the version on. ``stops`` is the
    number of messages with which workers had to stop it, and ``fault`` is why they do not use it again; empty if they
    do.
    """

    template = models.ForeignKey(
        StaffTemplate, verbose_name=_("staff template"), on_delete=models.CASCADE, related_name="versions"
    )
    number = models.PositiveIntegerField(_("version"))
    subject = models.TextField(_("subject"), blank=True)
    html = models.TextField(_("HTML"), blank=True)
    inlined_html = models.TextField(_("HTML with inlined CSS"), blank=True, editable=False)
    text = models.TextField(_("text"), blank=True)
    short = models.TextField(_("short text"), blank=True)
    stops = models.PositiveIntegerField(_("stops"), default=0, editable=False)
    fault = models.TextField(_("fault"), blank=True, editable=False)
    comment = models.CharField(_("comment"), max_length=200, blank=True)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("author"),
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
    )
    created_at = models.DateTimeField(_("created at"), default=clock.now, editable=False)

    class Meta:
        verbose_name = _("version of a staff template")
        verbose_name_plural = _("versions of staff templates")
        constraints = [models.UniqueConstraint(fields=["template", "number"], name="klaxon_templateversion_number")]

    def __str__(self) -> str:
        return f"{self.template} v{self.number}"

    @property
    def texts(self) -> dict[str, str]:
        """The texts by variant."""
        return {name: getattr(self, name) for name in VARIANTS}
