"""Magic links: an email with a link that shows one page to its user once, without a log-in."""

from notifications.magic_links.pages import register_page
from notifications.magic_links.send import send_magic_link
from notifications.models.magic_link import MagicLink

Purpose = MagicLink.Purpose

__all__ = ["Purpose", "register_page", "send_magic_link"]
