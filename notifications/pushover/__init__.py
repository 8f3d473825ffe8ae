"""The URL that Pushover calls when a user acknowledges a message of the channel ``pushover``."""
