"""The models, each with the queryset that reads and changes its table."""

# ruff: noqa: E402 - the check comes first, because the error of the first model would be hard to understand

from django.apps import apps

from notifications.models.installed import check_installed

check_installed(apps)

from notifications.models.acknowledgement import Acknowledgement
from notifications.models.address_confirmation import AddressConfirmation
from notifications.models.alarm import Alarm, AlarmTurn, HookCall
from notifications.models.api_key import APIKey, APIScope
from notifications.models.append_only import allow_log_changes
from notifications.models.attachment import AttachedFile
from notifications.models.audit import PreferenceChange
from notifications.models.bucket import Bucket
from notifications.models.can_state import CanAlert, CanDevice, CanFault
from notifications.models.circuit import Circuit
from notifications.models.cluster import Cluster, cluster_or_default, get_cluster_model, get_members, members_of
from notifications.models.delivery import Delivery
from notifications.models.device import Device
from notifications.models.escalation import EscalationEntry, EscalationPolicy, EscalationPolicyStep, EscalationRun
from notifications.models.figure import Availability, Figure, FigureDelta, QueueSample
from notifications.models.fingerprint import Fingerprint
from notifications.models.heartbeat import Heartbeat
from notifications.models.idempotent_request import IdempotentRequest
from notifications.models.inbox import InboxItem
from notifications.models.inbox_feed import InboxFeed
from notifications.models.live_message import LiveMessage
from notifications.models.log import LogPersonal, NotificationLog
from notifications.models.magic_link import MagicLink
from notifications.models.mute import Mute
from notifications.models.notification import Notification
from notifications.models.pause import Pause
from notifications.models.presence import Presence
from notifications.models.push_subscription import PushSubscription
from notifications.models.rota import Rota, RotaLayer, RotaMember, RotaOverride, TimeOff
from notifications.models.settings import UserSettings
from notifications.models.shared_preference import SharedPreference
from notifications.models.suppression import Suppression
from notifications.models.template import StaffTemplate, StaffTemplateVersion
from notifications.models.topic import TopicSubscription
from notifications.models.tracked_link import TrackedLink
from notifications.models.tracking_event import TrackingEvent
from notifications.models.tracking_figure import TrackingFigure
from notifications.models.webhook_endpoint import WebhookAttempt, WebhookEndpoint

__all__ = [
    "APIKey",
    "APIScope",
    "Acknowledgement",
    "AddressConfirmation",
    "Alarm",
    "AlarmTurn",
    "AttachedFile",
    "Availability",
    "CanAlert",
    "CanDevice",
    "CanFault",
    "Circuit",
    "Bucket",
    "Cluster",
    "Delivery",
    "Device",
    "EscalationEntry",
    "EscalationPolicy",
    "EscalationPolicyStep",
    "EscalationRun",
    "Figure",
    "FigureDelta",
    "Fingerprint",
    "Heartbeat",
    "HookCall",
    "IdempotentRequest",
    "InboxFeed",
    "InboxItem",
    "LiveMessage",
    "LogPersonal",
    "MagicLink",
    "Mute",
    "Notification",
    "NotificationLog",
    "Pause",
    "PreferenceChange",
    "Presence",
    "PushSubscription",
    "QueueSample",
    "Rota",
    "RotaLayer",
    "RotaMember",
    "RotaOverride",
    "SharedPreference",
    "StaffTemplate",
    "StaffTemplateVersion",
    "Suppression",
    "TimeOff",
    "TopicSubscription",
    "TrackedLink",
    "TrackingEvent",
    "TrackingFigure",
    "UserSettings",
    "WebhookAttempt",
    "WebhookEndpoint",
    "allow_log_changes",
    "get_cluster_model",
    "cluster_or_default",
    "members_of",
    "get_members",
]
