"""Channels: the ways to reach somebody. Each is a class with the contract of :mod:`notifications.channels.base`."""

from notifications.channels.base import BaseChannel, create_channel
from notifications.channels.retry_after import retry_after

__all__ = ["BaseChannel", "create_channel", "retry_after"]
