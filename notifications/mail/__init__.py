"""What the parts of an email share: its theme and its footer."""

from notifications.mail.footer import Footer, register_footer_source
from notifications.mail.theme import Theme, get_theme

__all__ = ["Footer", "Theme", "get_theme", "register_footer_source"]
