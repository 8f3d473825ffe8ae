"""SMTP as the witness speaks it: enough for one mail after the other (RFC 5321)."""

import asyncio
from collections.abc import Awaitable, Callable

HEADER = "X-Witness"
REPLIES = {
    "EHLO": "250-witness\r\n250 8BITMIME",
    "HELO": "250 witness",
    "MAIL": "250 sender",
    "RCPT": "250 recipient",
    "RSET": "250 reset",
    "NOOP": "250 here",
    "DATA": "354 go on",
    "QUIT": "221 bye",
}
ANSWERS = {"accepted": "250 accepted", "temporary": "451 not now"}
END_OF_MAIL = b"\r\n.\r\n"

Take = Callable[[str], Awaitable[str]]
BeSilent = Callable[[asyncio.StreamReader], Awaitable[None]]


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, take: Take, be_silent: BeSilent) -> None:
    """One connection, from the greeting to its end.

    :param take: gets what the header of a mail says to the witness, as a line; its answer is the verdict.
    :param be_silent: asked before each reply; it does not return while the client waits for one in vain.
    """
    writer.write(b"220 witness\r\n")
    while verb := (await reader.readline()).decode().split(" ")[0].strip().upper():
        await be_silent(reader)
        writer.write(f"{REPLIES.get(verb, '502 what?')}\r\n".encode())
        if verb == "QUIT":
            return
        if verb == "DATA":
            answer = await take(told(await reader.readuntil(END_OF_MAIL)))
            if answer not in ANSWERS:
                return
            writer.write(f"{ANSWERS[answer]}\r\n".encode())


def told(mail: bytes) -> str:
    """What a mail says to the witness."""
    [line] = [line for line in mail.decode().splitlines() if line.startswith(f"{HEADER}: ")]
    return line.partition(": ")[2].strip() + "\n"
