"""Validating, choosing and masking addresses."""

import re

import pytest
from django.core.validators import validate_email
from hypothesis import given
from hypothesis import strategies as st

from notifications.core.addresses import (
    MAX_PLAIN_EMAIL_LENGTH,
    PLAIN_EMAIL_PATTERN,
    choose_address,
    is_well_formed,
    mask_address,
    mask_addresses,
)

ODD_ADDRESSES = st.text("abcXYZ019.-_+@äß!\"'\n ", max_size=40) | st.emails()
LOCAL_PARTS = st.text("abcdefghijklmnopqrstuvwxyz0123456789.+_-", min_size=1, max_size=60)
GOOD, OTHER = "ann@example.com", "work@example.com"
PHONES = st.from_regex(r"\+[1-9]\d{6,14}", fullmatch=True)


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        ("email", "ann@example.com"),
        ("email", "ann+news@mail.example.co.uk"),
        ("email", "ann@müller.example"),
        ("email", "jürgen@example.com"),
        ("email", "用户@例え.テスト"),
        ("phone", "+4915112345678"),
        ("url", "https://example.com/hook?x=1"),
        ("pager", "anything at all"),
    ],
)
def test_a_good_address_is_well_formed(kind, address):
    assert is_well_formed(kind, address)


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        ("email", "ann"),
        ("email", "ann@"),
        ("email", "ann@example.com, bob@example.com"),
        ("email", "jür gen@example.com"),
        ("email", "@jürgen@example.com"),
        ("email", "jürgen\u2028@example.com"),
        ("email", "Ann <ann@example.com>"),
        ("email", "ann@example.com\nBcc: bob@example.com"),
        ("email", "ann@example.com\r\n"),
        ("email", "ann\0@example.com"),
        ("phone", "015112345678"),
        ("phone", "+0123456789"),
        ("phone", "+123"),
        ("phone", "+49 151 12345678"),
        ("phone", "+4915112345678\n"),
        ("phone", "+" + "1" * 16),
        ("phone", "+４９１５１１２３４５６７８"),
        ("phone", "+491511234567８"),
        ("url", "ftp://example.com"),
        ("url", "javascript:alert(1)"),
        ("url", "example.com"),
        ("pager", "a\x1bb"),
    ],
)
def test_a_malformed_address_is_not_well_formed(kind, address):
    assert not is_well_formed(kind, address)


@given(st.sampled_from(["email", "phone", "url", "pager"]), st.text(), st.characters(categories=["Cc"]), st.text())
def test_no_address_with_a_control_character_is_well_formed(kind, before, control, after):
    assert not is_well_formed(kind, before + control + after)


@given(LOCAL_PARTS)
def test_a_masked_mail_address_never_shows_the_whole_local_part(local):
    shown = mask_address(f"{local}@klaxon.example")
    assert shown.endswith("***@klaxon.example")
    assert local not in shown.removesuffix("@klaxon.example")


@given(PHONES)
def test_a_masked_phone_number_hides_most_digits(phone):
    shown = mask_address(phone)
    assert "***" in shown
    assert sum(character.isdigit() for character in shown) <= 4


@given(st.text(min_size=1))
def test_a_masked_address_is_never_the_address(address):
    assert mask_address(address) != address or set(address) == {"*"}


def test_an_empty_address_is_masked_as_empty():
    assert mask_address("") == ""


def test_a_masked_address_is_recognisable():
    assert mask_address("ann@example.com") == "a***@example.com"
    assert mask_address("+4915112345678") == "+49***78"


@given(
    st.text(" abc:.,<>()", max_size=20),
    LOCAL_PARTS.filter(lambda word: len(word) > 3),
    st.text(" xyz:,<>()", max_size=20),
)
def test_addresses_in_an_answer_of_a_provider_are_masked(before, local, after):
    text = f"{before} <{local}@klaxon.example> {after}"
    assert f"{local}@" not in mask_addresses(text)
    assert "***@klaxon.example" in mask_addresses(text)


@pytest.mark.parametrize(
    "answer",
    [
        "{'secret.name@example.com': (550, b'no such user')}",
        "550 5.1.1 <secret.name@example.com>: Recipient address rejected",
        "to=secret.name@example.com, from=other@example.com",
        "The number +4915112345678 is not reachable",
        "The number +49 151 1234 5678 is not reachable",
        "Called: +49(0)151/1234-5678.",
        '550 "secret.name"@example.com is unknown here',
        "550 <secret.name@[127.0.0.1]> is unknown here",
    ],
)
def test_answers_of_real_providers_contain_no_address(answer):
    shown = mask_addresses(answer)
    assert "secret.name" not in shown
    assert not {"15112345", "1234"} & set(re.findall(r"\d+", shown))
    assert "151" not in shown


@pytest.mark.parametrize("text", ["2026-11-30 18:00 +0100 2026 rows", "3 + 4 = 7", "1.2+3.4.5", "+1 234"])
def test_numbers_that_are_no_phone_numbers_stay(text):
    assert mask_addresses(text) == text


@given(st.text("abc 123.:;()", max_size=50))
def test_a_text_without_an_address_is_unchanged(answer):
    assert mask_addresses(answer) == answer


@given(ODD_ADDRESSES)
def test_djangos_validator_accepts_every_plain_address(address):
    if PLAIN_EMAIL_PATTERN.fullmatch(address) and len(address) <= MAX_PLAIN_EMAIL_LENGTH:
        validate_email(address)


@pytest.mark.parametrize("label", [63, 64])
def test_a_label_may_have_63_letters(label):
    assert is_well_formed("email", f"ann@{'x' * label}.example") is (label == 63)


@pytest.mark.parametrize(
    ("own", "account", "expected"),
    [
        ("", GOOD, (GOOD, "", "")),
        (OTHER, GOOD, (OTHER, "", GOOD)),
        (GOOD, GOOD, (GOOD, "", "")),
        (OTHER, "", (OTHER, "", "")),
        (OTHER, "ann", (OTHER, "", "")),
        ("work@example,com", GOOD, (GOOD, "work@example,com", "")),
        (" ", GOOD, (GOOD, " ", "")),
        ("work", "", ("work", "", "")),
        ("work", "ann", ("work", "", "")),
        ("", "ann", ("ann", "", "")),
    ],
)
def test_a_malformed_address_in_the_settings_is_replaced_by_that_of_the_account(own, account, expected):
    assert choose_address("email", own, account) == expected
