"""The words that recipients answer with."""

import pytest

from notifications.phone.answers import WORDS, Wish, find_wish, to_phone_number


@pytest.mark.parametrize(
    "text",
    [
        "STOP", "stop", " Stop. ", "STOP!!", "Stop\n", "S.T.O.P", "«STOP»", "\u200bSTOP\ufeff", "ＳＴＯＰ", "stop 🛑",
        "StopAll", "STOP ALL", "opt-out", "Unsubscribe", "CANCEL", "End", "quit", "ARRÊT", "arret", "Arre\u0302t",
        "Abmelden", "BAJA", "Стоп", "توقف",
    ],
)  # fmt: skip
def test_a_word_stops_in_any_spelling(text):
    assert find_wish(text) is Wish.STOP


@pytest.mark.parametrize(
    "text", ["", " ", "🛑", "1", "no", "yes", "Please stop", "don't stop", "STOP" * 20, "the end", "help me, please"]
)
def test_other_texts_ask_for_nothing(text):
    assert find_wish(text) is None


def test_start_and_help():
    assert find_wish("START") is find_wish("un-stop") is Wish.START
    assert find_wish("Help?") is find_wish("INFO") is Wish.HELP


def test_every_word_is_found():
    assert {word: find_wish(word) for word in WORDS} == WORDS


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+4915112345678", "+4915112345678"),
        ("4915112345678", "+4915112345678"),
        ("0049 (151) 1234-5678", "+4915112345678"),
        ("12345", ""),
        ("Shop", ""),
        ("whatsapp:+4915112345678", ""),
        ("", ""),
        ("٤٩١٥١١٢٣٤٥٦٧٨", ""),
    ],
)
def test_a_number_is_written_in_international_form(text, number):
    assert to_phone_number(text) == number
