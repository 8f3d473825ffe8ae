"""The words of events: how urgent, by which channels, and the one spelling of names."""

from enum import Enum, IntEnum


class NotificationPriority(IntEnum):
    """How urgent an event is. CRITICAL reaches even those who opted out."""

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
        """The score of what is neither more nor less urgent than its like."""
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
    """The channels that Klaxon has a word for. A host may use any other name that its settings define."""

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
    """The one spelling under which a channel, event or category is stored and looked up."""
    return str(word.value if isinstance(word, Enum) else word).strip().lower()
