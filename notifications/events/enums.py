"""The enums of events: priorities and channels, and the normalised spelling of names."""

from enum import Enum, IntEnum


class NotificationPriority(IntEnum):
    """The priority of an event. CRITICAL events also reach users who opted out."""

    CRITICAL = 1
    HIGH = 2
    MEDIUM = 3
    LOW = 4

    @property
    def band(self) -> tuple[int, int]:
        """The lowest and highest score (0-100) of this priority."""
        return BANDS[self]

    @property
    def middle(self) -> int:
        """The middle of the band: the default score of an event."""
        return sum(self.band) // 2


BANDS = {
    NotificationPriority.CRITICAL: (90, 100),
    NotificationPriority.HIGH: (70, 89),
    NotificationPriority.MEDIUM: (30, 69),
    NotificationPriority.LOW: (0, 29),
}

LEVELS = {
    "critical": NotificationPriority.CRITICAL,
    "warning": NotificationPriority.HIGH,
    "info": NotificationPriority.MEDIUM,
    "debug": NotificationPriority.LOW,
}


class NotificationChannel(Enum):
    """The channels that Klaxon has a name for. A host can use any other name that its settings define."""

    EMAIL = "email"
    SMS = "sms"
    WEBSOCKET = "websocket"
    APP = "app"
    WEBHOOK = "webhook"
    PUSH = "push"
    SLACK = "slack"
    DISCORD = "discord"
    TEAMS = "teams"
    PUSHOVER = "pushover"
    VOICE = "voice"
    LOG = "log"


def key_of(word: Enum | str) -> str:
    """Return the normalised spelling of a channel, event or category, for storing and looking it up."""
    return str(word.value if isinstance(word, Enum) else word).strip().lower()
