"""What recipients answer: STOP suppresses their number in all clusters, START lifts exactly such suppressions.

OK acknowledges the notification that was escalated to the number.
"""

import logging
import re
import unicodedata
from enum import Enum
from uuid import uuid4

from django.db import router, transaction

from notifications.core import clock
from notifications.core.addresses import is_well_formed
from notifications.core.databases import read_from_primary
from notifications.escalation.answers import acknowledge_by_phone
from notifications.models import Suppression
from notifications.models.suppression import hash_normalized
from notifications.tracking.record import record
from notifications.tracking.reports import Effect, Kind, Report, make_key

logger = logging.getLogger("notifications.phone")

PHONE = "phone"
START_NOTE = "The recipient answered START."
MAX_WORD_LENGTH = 40


class Wish(Enum):
    """What a recipient wants."""

    STOP = "STOP"
    START = "START"
    HELP = "HELP"
    ACKNOWLEDGE = "ACKNOWLEDGE"


# Without accents, spaces and punctuation, in lower case. A word that can be part of an ordinary answer, such as "no",
# is not one of them.
WORDS = {
    **dict.fromkeys(
        (
            "stop", "stopall", "unsubscribe", "cancel", "end", "quit", "optout", "revoke",
            "arret", "arreter", "desabonner", "desinscription",
            "stopp", "stoppen", "abmelden", "abbestellen", "abbestellung",
            "baja", "cancelar", "parar", "alto", "detener",
            "basta", "cancella", "annulla", "sair", "afmelden", "avsluta", "afmeld", "avmeld",
            "стоп", "отписаться", "توقف", "ايقاف", "الغاء",
        ),
        Wish.STOP,
    ),
    **dict.fromkeys(("start", "unstop", "commencer", "reprendre", "anmelden", "empezar", "ابدا"), Wish.START),
    **dict.fromkeys(
        ("ok", "okay", "ack", "acknowledge", "acknowledged", "bestatigt", "bestatige", "quittiert", "daccord", "vale"),
        Wish.ACKNOWLEDGE,
    ),
    **dict.fromkeys(("help", "info", "aide", "hilfe", "ayuda", "aiuto", "مساعده", "مساعدة"), Wish.HELP),
}  # fmt: skip


def find_wish(text: str) -> Wish | None:
    """Return what a text that is nothing but one of the words asks for."""
    if len(text) > MAX_WORD_LENGTH:
        return None
    decomposed = unicodedata.normalize("NFKD", text)
    return WORDS.get("".join(filter(str.isalpha, decomposed)).casefold())


def to_phone_number(text: str) -> str:
    """Return a number in international form, or an empty text if it is none, such as a short code.

    Gateways write ``4915112345678``, ``004915112345678`` or ``+49 151 12345678``.
    """
    if re.search(r"[^0-9\s+().\-/]", text):
        return ""
    number = "+" + re.sub(r"[^0-9]", "", text).removeprefix("00")
    return number if is_well_formed(PHONE, number) else ""


@read_from_primary()
def receive_answer(wish: Wish, number: str, source: str, message_id: str, is_id_unique: bool = True) -> None:
    """Suppress a number, or lift its suppression. An answer that is reported again changes nothing.

    :param number: in international form; empty if the service has reported another one.
    :param message_id: the id that the service gave the answer.
    :param is_id_unique: whether no other answer has this id. Otherwise each STOP counts, because another START may have
        come between, and each START counts only once, because it could be one that is reported again.
    """
    kinds = {Wish.STOP: (Kind.STOPPED, Effect.STOP), Wish.START: (Kind.RESUMED, Effect.NONE)}
    if wish is Wish.ACKNOWLEDGE and number:
        acknowledge_by_phone(number)
        return
    if wish not in kinds:
        return
    if not number:
        logger.warning("%s reports the answer %s from a number that is not in international form.", source, wish.value)
        return
    kind, effect = kinds[wish]
    using = router.db_for_write(Suppression)
    with transaction.atomic(using=using):
        stopped = Suppression.objects.using(using).filter(
            kind=PHONE,
            address_hash=hash_normalized(number),
            cluster=None,
            reason=Suppression.Cause.STOPPED,
            is_active=True,
        )
        if not is_id_unique and wish is Wish.STOP:
            if stopped.exists():
                return
            message_id = f"{message_id} {uuid4()}"
        key = make_key(source, "answer", wish.value, message_id)
        event = record(Report(kind, source, key, address=number, effect=effect, address_kind=PHONE))
        if event is not None and wish is Wish.START:
            stopped.lift(None, START_NOTE, clock.now(using))
