"""The app configuration."""

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.utils.translation import gettext_lazy as _


class NotificationsConfig(AppConfig):
    """The app configuration of Klaxon.

    The label is ``klaxon`` and not ``notifications``, because another package already uses the label ``notifications``.
    """

    name = "notifications"
    label = "klaxon"
    verbose_name = _("Klaxon notifications")
    default_auto_field = "django.db.models.BigAutoField"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Set before any model is imported. Otherwise, makemigrations fails on sites that do not set it.
        if not hasattr(settings, "NOTIFICATIONS_CLUSTER_MODEL"):
            settings.NOTIFICATIONS_CLUSTER_MODEL = "klaxon.Cluster"

    def ready(self) -> None:
        from notifications import celery, checks, events, signals, tasks
        from notifications.delivering import on_commit
        from notifications.delivering.outcome_hooks import register_outcome_hook
        from notifications.delivering.rendering import register_replacement
        from notifications.delivering.workers import cleanup
        from notifications.delivering.workers.periodic_tasks import register_periodic_task
        from notifications.digests import make_due, release_overdue, send_section_digests
        from notifications.escalation import actions, engine, policies, preview, start
        from notifications.escalation.pages import links as escalation_links
        from notifications.explain import receipt_reason
        from notifications.inbox.changes import wake_snoozed
        from notifications.live import accounts
        from notifications.live import cleanup as live_cleanup
        from notifications.live.announce import receive_change, receive_message
        from notifications.magic_links import Purpose, register_page
        from notifications.magic_links.cleanup import delete_expired_links
        from notifications.magic_links.status import load_status
        from notifications.mail import register_footer_source
        from notifications.mail.finishing import register_finisher
        from notifications.monitoring import figures as metrics
        from notifications.monitoring.alarm import exhausted
        from notifications.monitoring.alarm import task as alarm_task
        from notifications.monitoring.probes import register_probe
        from notifications.monitoring.probes.storage import probe_storage
        from notifications.monitoring.retention import purge
        from notifications.preference_centre import addresses
        from notifications.preference_centre.summary import load_summary
        from notifications.push import signing_out
        from notifications.staff_templates.rendering import render_group
        from notifications.tracking import figures, hits, links, record, webhooks
        from notifications.unsubscribe import links as unsubscribe_links
        from notifications.webhooks import warning

        checks.register_checks()
        events.autodiscover()
        signals.notifications_queued.connect(on_commit.notify_workers, dispatch_uid="klaxon.wake")
        signals.notifications_queued.connect(on_commit.deliver_now, dispatch_uid="klaxon.immediate")
        register_replacement(render_group)
        register_periodic_task("cleanup", 60.0, cleanup.delete_expired)
        # The digests come first, then the deliveries that no digest took.
        register_periodic_task("digests", 15.0, make_due)
        register_periodic_task("overdue digest items", 60.0, release_overdue)
        register_periodic_task("section digests", 60.0, send_section_digests)
        register_periodic_task("snoozed inbox items", 30.0, wake_snoozed)
        register_periodic_task("queue samples", 20.0, metrics.sample_queue, is_simulated=False)
        register_periodic_task("figures", 30.0, metrics.move_all, is_simulated=False)
        register_periodic_task("availability", 60.0, metrics.roll_up_availability, is_simulated=False)
        register_periodic_task("old figures", 3600.0, metrics.delete_expired, is_simulated=False)
        webhooks.connect()
        register_finisher("tracking", links.track_messages)
        register_outcome_hook("figures", figures.count_outcomes)
        signals.inbox_changed.connect(receive_change, dispatch_uid="klaxon.live")
        signals.live_messages_added.connect(receive_message, dispatch_uid="klaxon.live.messages")
        accounts.connect()
        signing_out.connect()
        signals.recipient_unsubscribed.connect(hits.receive_unsubscription, dispatch_uid="klaxon.tracking.unsubscribed")
        register_periodic_task("late tracking events", 30.0, record.match_late)
        # It comes before the reason, so that its own reason overrides that one.
        register_footer_source("acknowledge", escalation_links.get_footer_fields, is_default=True)
        register_footer_source("reason", receipt_reason.get_footer_fields, is_default=True)
        register_footer_source("links", unsubscribe_links.get_footer_fields, is_default=True)
        register_periodic_task("live messages", 60.0, live_cleanup.delete_expired)
        signals.webhook_endpoint_disabled.connect(warning.warn_owner, dispatch_uid="klaxon.webhooks")
        register_periodic_task("address confirmations", 600.0, addresses.delete_expired)
        register_page(Purpose.NOTIFICATION_STATUS, "notifications/magic_links/status.html", load_status)
        register_page(Purpose.SETTINGS_VIEW, "notifications/magic_links/settings.html", load_summary)
        register_periodic_task("magic links", 600.0, delete_expired_links)
        register_probe("storage", probe_storage)
        register_periodic_task("purge", 0.5, purge.run_periodically, is_simulated=False)
        start.connect()
        actions.connect()
        preview.connect()
        policies.connect()
        register_periodic_task("escalations", 5.0, engine.run_periodically)
        exhausted.connect()
        alarm_task.connect()
        if celery.is_enabled():
            from notifications.celery import receiver

            signals.notifications_queued.connect(receiver.call_workers, dispatch_uid="klaxon.celery")
        if tasks.is_enabled():
            from notifications.tasks import receiver as tasks_receiver

            signals.notifications_queued.connect(tasks_receiver.call_workers, dispatch_uid="klaxon.tasks")
