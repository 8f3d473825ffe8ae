"""Channels: how a message travels. Each is one class with one contract, see :mod:`notifications.channels.base`."""

from notifications.channels.base import BaseChannel, open_channel

__all__ = ["BaseChannel", "open_channel"]
