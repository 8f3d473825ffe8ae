"""How an SMS gateway reports what happens to messages, and what recipients answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from notifications.conf.problem import suggest

LISTS = ("delivered", "failed", "wrong_number")


@dataclass(frozen=True)
class GatewayCallback:
    """The option ``callback`` of the channel.

    :param secret: the key of the signature, HMAC-SHA256 of the body in hexadecimal digits.
    :param header: the header with the signature. It may begin with ``sha256=``.
    :param id: the path of the id that the gateway gave the message when it was sent.
    :param reference: the path of the ``{reference}`` that was sent with the message.
    :param to: the path of the number of the recipient.
    :param status: the path of the status.
    :param error: the path of the error.
    :param delivered: the statuses of messages that have arrived.
    :param failed: the statuses of those that have not.
    :param wrong_number: the statuses of those whose number does not exist, which suppress it.
    :param text: the path of the text of an answer.
    :param sender: the path of the number that has answered.
    """

    secret: str = field(default="", repr=False)
    header: str = "X-Signature"
    id: str = ""
    reference: str = ""
    to: str = ""
    status: str = ""
    error: str = ""
    delivered: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    wrong_number: tuple[str, ...] = ()
    text: str = ""
    sender: str = ""

    @classmethod
    def read(cls, option: Mapping[str, Any]) -> "GatewayCallback":
        """Return the option as an object.

        :raises ValueError: if it is invalid.
        """
        known = [item.name for item in fields(cls)]
        for key in option:
            if key not in known:
                raise ValueError(f"The option 'callback' has an unknown key {key!r}. {suggest(key, known)}")
        for key, value in option.items():
            if isinstance(value, str) == (key in LISTS):
                raise ValueError(f"{key!r} of the option 'callback' must be {'a list' if key in LISTS else 'a text'}.")
        lists = {key: tuple(map(str, option[key])) for key in LISTS if key in option}
        callback = cls(**{**option, **lists})
        callback._check()
        return callback

    def _check(self) -> None:
        if not self.secret:
            raise ValueError("The option 'callback' must contain a 'secret', because anyone can call a URL.")
        if self.status and not (self.id or self.reference):
            raise ValueError("The option 'callback' must contain the path of the 'id' or of the 'reference'.")
        if self.wrong_number and not (self.reference or self.to):
            # A gateway can report before the id of the message is stored.
            raise ValueError("'wrong_number' of the option 'callback' requires the path of the 'reference' or of 'to'.")
        if bool(self.text) != bool(self.sender):
            raise ValueError("The option 'callback' must contain both 'text' and 'sender', or neither.")
