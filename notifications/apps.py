"""What Django loads first."""

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.utils.translation import gettext_lazy as _


class NotificationsConfig(AppConfig):
    """The label is ``klaxon``: another package with the import name ``notifications`` owns tables under that label."""

    name = "notifications"
    label = "klaxon"
    verbose_name = _("Klaxon notifications")
    default_auto_field = "django.db.models.BigAutoField"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Set here, before any model is imported, or makemigrations fails on hosts that do not set it.
        if not hasattr(settings, "NOTIFICATIONS_CLUSTER_MODEL"):
            settings.NOTIFICATIONS_CLUSTER_MODEL = "klaxon.Cluster"

    def ready(self) -> None:
        from notifications import celery, checks, events, signals
        from notifications.delivering import immediate
        from notifications.delivering.workers import cleanup as tidying
        from notifications.delivering.workers import periodic_tasks as chores
        from notifications.delivering.workers import wake_up as wake
        from notifications.digests import make_due, release_forgotten, send_summaries

        checks.register_checks()
        events.autodiscover()
        signals.notifications_queued.connect(wake.announce, dispatch_uid="klaxon.wake")
        signals.notifications_queued.connect(immediate.deliver_now, dispatch_uid="klaxon.immediate")
        chores.add("tidy", 60.0, tidying.tidy)
        # First the digests, then what none came for.
        chores.add("digests", 15.0, make_due)
        chores.add("forgotten", 60.0, release_forgotten)
        chores.add("summaries", 60.0, send_summaries)
        if celery.wanted():
            from notifications.celery import receiver as nudge

            signals.notifications_queued.connect(nudge.call_workers, dispatch_uid="klaxon.celery")
