"""HTTP as the witness speaks it: enough for one webhook after the other. It knows nothing of Django."""

import asyncio
from collections.abc import Awaitable, Callable

HEADER = "X-Witness"
ANSWERS = {"accepted": "204 No Content", "temporary": "503 Service Unavailable"}

Take = Callable[[str], Awaitable[str]]
Repeat = Callable[[str], None]
BeSilent = Callable[[asyncio.StreamReader], Awaitable[None]]


async def converse(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    take: Take,
    repeat: Repeat,
    be_silent: BeSilent,
    known: set[str],
) -> None:
    """One connection, from its first request to its end.

    :param take: gets what the header says to the witness, as a line; its answer is the verdict.
    :param repeat: gets that line if the ``webhook-id`` is known: the message is accepted, and nothing else happens.
    :param known: the ids of the messages that were taken.
    """
    while head := await reader.readuntil(b"\r\n\r\n"):
        lines = head.decode().split("\r\n")[1:]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        await reader.readexactly(int(headers["content-length"]))
        await be_silent(reader)
        line, number = headers[HEADER.lower()] + "\n", headers["webhook-id"]
        answer = "accepted"
        if number in known:
            repeat(line)
        else:
            answer = await take(line)
            if answer == "accepted":
                known.add(number)
        if answer not in ANSWERS:
            return
        writer.write(f"HTTP/1.1 {ANSWERS[answer]}\r\nContent-Length: 0\r\n\r\n".encode())
