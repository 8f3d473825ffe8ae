"""Many values as one parameter: the database receives each of them unchanged."""

import pytest
from django.db import connection

from notifications.storage.postgres import postgres_array

pytestmark = [pytest.mark.django_db, pytest.mark.skipif("connection.vendor != 'postgresql'", reason="about arrays")]
ODD = ["", "null", "NULL", "a,b", '"', "\\", "{", "}", " x ", "é", "ａ", "u:1", "N", "\t", "a'b", "%s", "0x", "anullb"]


@pytest.mark.parametrize("values", [ODD, ["u:1", "a:f0"], ["null"], [""], ["a,b", "c"], *[[odd] for odd in ODD], []])
def test_texts_arrive_unchanged(values):
    with connection.cursor() as cursor:
        cursor.execute("SELECT unnest(%s::text[])", [postgres_array(values)])
        assert [value for (value,) in cursor.fetchall()] == values


def test_numbers_arrive_unchanged():
    with connection.cursor() as cursor:
        cursor.execute("SELECT unnest(%s::bigint[])", [postgres_array([1, -2, 2**40])])
        assert [value for (value,) in cursor.fetchall()] == [1, -2, 2**40]
