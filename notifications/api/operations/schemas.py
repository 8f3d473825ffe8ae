"""What the schemas of several operations share."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from ninja import Path, Query
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StrictStr

from notifications.api.paging import DEFAULT_LIMIT, MAX_LIMIT
from notifications.sending.request import VALID_YEARS

MAX_ID = 2**63 - 1
# RFC 3339. Without an offset, a time would mean something else in each time zone.
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _check_time(value: Any) -> Any:
    if not isinstance(value, str) or RFC_3339.fullmatch(value) is None:
        raise ValueError("write a time with an offset, such as 2030-05-04T12:00:00Z (RFC 3339)")
    return value


def _check_year(value: datetime) -> datetime:
    # Databases and time zones cannot express every year.
    if value.year not in VALID_YEARS:
        raise ValueError(f"write a time from the year {VALID_YEARS[0]} to {VALID_YEARS[-1]}")
    return value


def _check_integer(value: Any) -> Any:
    # In JSON Schema, 1.0 is an integer, and true is not.
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if type(value) is not int:
        raise ValueError("write a whole number")
    return value


Whole = BeforeValidator(_check_integer)
"""The validator of whole numbers in bodies. It follows the limits in ``Annotated``, so that these are described."""
Moment = Annotated[AwareDatetime, BeforeValidator(_check_time), AfterValidator(_check_year)]
"""A time of a request, always with its offset."""

Id = Annotated[int, Path(..., ge=1, le=MAX_ID, example=42)]
ClusterQuery = Annotated[
    str | None,
    Query(
        None,
        min_length=1,
        max_length=64,
        description="The primary key of the cluster. By default the only cluster of the key, or the default cluster.",
        example="1",
    ),
]
Cursor = Annotated[
    str | None,
    Query(
        None,
        max_length=200,
        description="`next_cursor` of the page before.",
        example="WyJpbmJveCIsIDE5MDQxMjY0MDAwMDAwMDAsIDQyXQ",
    ),
]
Limit = Annotated[int, Query(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="The rows of a page.", example=50)]
ClusterKey = Annotated[
    StrictStr | None,
    Field(default=None, min_length=1, max_length=64, description="The primary key of the cluster; see `cluster`."),
]
Reason = Annotated[
    StrictStr, Field(min_length=1, max_length=500, pattern=r"\S", description="The reason, for the log.")
]


class Body(BaseModel):
    """A body of a request. A field that does not exist is an error, and not ignored."""

    model_config = ConfigDict(extra="forbid")


def make_config(example: dict[str, Any], extra: Literal["ignore", "forbid"] = "ignore") -> ConfigDict:
    """Return the configuration of a schema with an example."""
    return ConfigDict(json_schema_extra={"examples": [example]}, extra=extra)


class ProblemDetails(BaseModel):
    """An error (RFC 9457)."""

    model_config = make_config(
        {
            "type": "urn:problem-type:klaxon:not-found",
            "title": "There is no such object",
            "status": 404,
        }
    )

    type: str
    title: str
    status: int
    detail: str | None = None
    instance: str | None = None
    errors: list[dict[str, str]] | None = None
    scope: str | None = None
