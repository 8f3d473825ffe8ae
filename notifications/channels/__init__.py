"""Channels: how a message travels. Each is one class with one contract, see :mod:`notifications.channels.base`."""

from notifications.channels.base import BaseChannel, open_channel
from notifications.channels.retry_after import retry_after

__all__ = ["BaseChannel", "open_channel", "retry_after"]
