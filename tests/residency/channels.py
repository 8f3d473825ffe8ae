from notifications.channels.log import LogChannel


class TextMessages(LogChannel):
    """A stand-in for a paid provider."""

    address_kind = "phone"


class Hooks(LogChannel):
    """A stand-in for the systems of the GME office."""

    address_kind = "url"
