"""Addresses as recipients."""

import pytest

from notifications.channels.log import LogChannel
from notifications.exceptions import InvalidRecipient
from notifications.recipients import Address, user_key

pytestmark = pytest.mark.django_db

CONTACT = Address(phone="+4915112345678")


class PagerChannel(LogChannel):
    address_kind = "pager"


class TestAddress:
    def test_it_needs_at_least_one_address(self):
        with pytest.raises(TypeError, match="at least one"):
            Address()

    @pytest.mark.parametrize("wrong", [4915112345678, 0, b"+4915112345678", ["+4915112345678"]])
    def test_it_takes_texts(self, wrong):
        with pytest.raises(TypeError, match=r"must be texts, but its phone is .*\. Write it in quotes\."):
            Address(email="ann@example.com", phone=wrong)

    @pytest.mark.parametrize(
        ("kind", "told"),
        [
            ("mail", "Did you mean 'email'"),
            ("Email", "Did you mean 'email'"),
            ("fone", "Did you mean 'phone'"),
            ("user", "Known kinds: email, phone, url"),
        ],
    )
    def test_a_kind_that_no_channel_has_is_an_error_that_names_the_nearest(self, kind, told):
        with pytest.raises(InvalidRecipient, match=rf"Address\({kind}=…\): no channel of this site .*{told}"):
            Address(**{kind: "ann@example.com"})

    def test_a_kind_of_a_channel_or_of_the_settings_is_known(self, settings):
        backend = f"{__name__}.PagerChannel"
        settings.NOTIFICATIONS = {"ADDRESS_FIELDS": {"radio": "call_sign"}, "CHANNELS": {"pager": {"BACKEND": backend}}}
        assert Address(pager="7", radio="D4XYZ").of_kind("pager") == "7"

    def test_a_stored_address_is_not_validated_again(self):
        assert Address.stored({"pager": "7"}).of_kind("pager") == "7"

    def test_the_same_person_has_one_key_in_any_case_or_order(self):
        one = Address(email="Ann@Example.com", phone="+4915112345678")
        assert one.key == Address(phone="+4915112345678 ", email="ann@example.com").key
        assert one.key != Address(email="ann@example.com").key
        assert one.key.startswith("a:")
        assert len(one.key) <= 80

    def test_white_space_around_an_address_is_removed(self):
        # Otherwise the second of two addresses with the same key could replace the first, and be refused as malformed.
        assert Address(email=" ann@example.com\n").of_kind("email") == "ann@example.com"

    def test_an_address_of_white_space_is_an_error(self):
        with pytest.raises(TypeError, match="at least one"):
            Address(email=" ")

    def test_the_key_does_not_reveal_the_address(self):
        assert "ann" not in Address(email="ann@example.com").key

    def test_a_kind_that_was_not_given_is_empty(self):
        assert CONTACT.of_kind("email") == ""
        assert CONTACT.of_kind("phone") == "+4915112345678"

    def test_none_is_the_same_as_a_kind_that_was_not_given(self):
        # As in Address(email=contact.email, phone=contact.phone), if the contact has only one of them.
        contact = Address(email=None, phone="+4915112345678")
        assert contact.key == CONTACT.key
        assert contact.of_kind("email") == ""


def test_the_keys_of_users_and_addresses_differ():
    assert user_key(42) == "u:42"
