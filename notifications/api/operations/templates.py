"""Staff templates: texts that staff edit, their versions, and the gate that publishes them."""

from datetime import datetime
from typing import Annotated, Any

from django.db import IntegrityError, transaction
from django.db import router as databases
from django.db.models import Max, Q
from django.http import Http404, HttpRequest
from ninja import Router
from pydantic import BaseModel, Field, StrictStr

from notifications import conf
from notifications.api.auth import Caller, Requires, get_caller
from notifications.api.clusters import choose_cluster, require_everything, require_reach
from notifications.api.operations.schemas import Body, ClusterKey, ClusterQuery, Cursor, Id, Limit, Whole, make_config
from notifications.api.paging import paginate_by_id
from notifications.api.problems import Problem
from notifications.delivering.rendering.templates import LANGUAGE_PATTERN
from notifications.events import DIGESTS, NOTIFICATION_EVENTS, key_of
from notifications.exceptions import EditConflict, PublishRefused
from notifications.models import APIScope, StaffTemplate, StaffTemplateVersion
from notifications.models.template import VARIANTS
from notifications.staff_templates.cage.budget import MAX_SOURCE_CHARACTERS
from notifications.staff_templates.publishing import find_syntax_fault, publish, unpublish

router = Router(tags=["templates"])
READ = Requires(APIScope.TEMPLATES_READ, "klaxon.view_stafftemplate")
ADD = Requires(APIScope.TEMPLATES_WRITE, "klaxon.add_stafftemplate")
CHANGE = Requires(APIScope.TEMPLATES_WRITE, "klaxon.change_stafftemplate")
PUBLISH = Requires(APIScope.TEMPLATES_WRITE, "klaxon.publish_stafftemplate")
MAX_PROBLEMS = 30
Source = Annotated[StrictStr, Field(max_length=MAX_SOURCE_CHARACTERS)]
Number = Annotated[int, Field(ge=0, le=2**31 - 1), Whole]
TEMPLATE: dict[str, Any] = {
    "id": 5,
    "event": "order_shipped",
    "channel": "email",
    "language": "de",
    "cluster": None,
    "latest_version": 3,
    "published_version": 2,
    "published_at": "2030-05-04T12:00:00Z",
}
TEXTS = {"subject": "Order {{ order_number }}", "html": "<p>It is on its way.</p>", "text": "", "short": ""}
VERSION: dict[str, Any] = {
    "number": 3,
    **TEXTS,
    "comment": "Friendlier",
    "author": "7",
    "fault": "",
    "is_published": False,
    "created_at": "2030-05-04T12:00:00Z",
}


class Template(BaseModel):
    """A template of staff."""

    model_config = make_config(TEMPLATE)

    id: int
    event: str
    channel: str
    language: str = Field(description="Empty for readers of every language without a template of their own.")
    cluster: str | None = Field(description="Null for all clusters without a template of their own.")
    latest_version: int = Field(description="0 if there is none.")
    published_version: int = Field(description="0 if the template files are used.")
    published_at: datetime | None


class TemplatePage(BaseModel):
    """Templates, the newest first."""

    model_config = make_config({"items": [TEMPLATE], "next_cursor": None})

    items: list[Template]
    next_cursor: str | None


class NewTemplate(Body):
    """What a template is for."""

    model_config = make_config({"event": "order_shipped", "channel": "email", "language": "de"}, extra="forbid")

    event: Annotated[StrictStr, Field(min_length=1, max_length=100)]
    channel: Annotated[StrictStr, Field(min_length=1, max_length=50)]
    language: Annotated[StrictStr, Field(max_length=20)] = ""
    cluster: ClusterKey = Field(default=None, description="Without it, the template is for all clusters.")


class Version(BaseModel):
    """The texts of a template as somebody has saved them."""

    model_config = make_config(VERSION)

    number: int
    subject: str
    html: str
    text: str
    short: str
    comment: str
    author: str | None
    fault: str = Field(description="Why workers do not use it any more.")
    is_published: bool
    created_at: datetime


class VersionPage(BaseModel):
    """Versions, the newest first."""

    model_config = make_config({"items": [VERSION], "next_cursor": None})

    items: list[Version]
    next_cursor: str | None


class NewVersion(Body):
    """Texts, and the version that they are based on."""

    model_config = make_config({**TEXTS, "comment": "Friendlier", "expected_version": 2}, extra="forbid")

    subject: Source = ""
    html: Source = ""
    text: Source = ""
    short: Source = ""
    comment: Annotated[StrictStr, Field(max_length=200)] = ""
    expected_version: Number = Field(description="`latest_version` when the texts were read.")


class Publication(Body):
    """The version to publish."""

    model_config = make_config({"version": 3, "expected_version": 2}, extra="forbid")

    version: Annotated[int, Field(ge=1, le=2**31 - 1), Whole]
    expected_version: Number = Field(description="`published_version` when it was read.")


class Withdrawal(Body):
    """The version that is published at present."""

    model_config = make_config({"expected_version": 3}, extra="forbid")

    expected_version: Annotated[int, Field(ge=1, le=2**31 - 1), Whole]


def _get_rows() -> Any:
    return StaffTemplate.objects.using(databases.db_for_write(StaffTemplate)).select_related("published")


def _find(caller: Caller, template_id: int, changes: bool = False) -> StaffTemplate:
    """Return a template that the caller may see or change.

    :raises Http404: if there is none.
    :raises Problem: if the caller may see it, but not change it.
    """
    found: StaffTemplate | None = _get_rows().filter(pk=template_id).first()
    if found is None:
        raise Http404
    if found.cluster_id is None:
        if changes:
            require_everything(caller)
    else:
        require_reach(caller, found.cluster_id)
    return found


def _describe(template: StaffTemplate, latest: int | None = None) -> dict[str, Any]:
    if latest is None:
        newest = template.latest
        latest = newest.number if newest else 0
    return {
        "id": template.pk,
        "event": template.event,
        "channel": template.channel,
        "language": template.language,
        "cluster": None if template.cluster_id is None else str(template.cluster_id),
        "latest_version": latest,
        "published_version": template.published.number if template.published else 0,
        "published_at": template.published_at,
    }


def _describe_version(version: StaffTemplateVersion, template: StaffTemplate) -> dict[str, Any]:
    return {
        "number": version.number,
        **version.texts,
        "comment": version.comment,
        "author": None if version.author_id is None else str(version.author_id),
        "fault": version.fault,
        "is_published": version.pk == template.published_id,
        "created_at": version.created_at,
    }


@router.get("", auth=READ, response=TemplatePage, operation_id="listTemplates", summary="List staff templates")
def list_templates(request: HttpRequest, cluster: ClusterQuery = None, cursor: Cursor = None, limit: Limit = 50) -> Any:
    """Return the templates of a cluster, and those of all clusters."""
    caller = get_caller(request)
    chosen = choose_cluster(caller, cluster)
    page = paginate_by_id("templates", _get_rows().filter(Q(cluster=chosen) | Q(cluster=None)), cursor, limit)
    versions = StaffTemplateVersion.objects.filter(template__in=[row.pk for row in page.rows]).order_by()
    latest = dict(versions.values_list("template").annotate(number=Max("number")))
    return {
        "items": [_describe(row, latest.get(row.pk, 0)) for row in page.rows],
        "next_cursor": page.next_cursor,
    }


@router.post("", auth=ADD, response={201: Template}, operation_id="addTemplate", summary="Add a staff template")
def add_template(request: HttpRequest, body: NewTemplate) -> Any:
    """Add a template without texts. Nothing changes for readers before a version is published."""
    caller = get_caller(request)
    cluster = None
    if body.cluster is not None:
        cluster = choose_cluster(caller, body.cluster)
    else:
        require_everything(caller)
    template = StaffTemplate(
        event=body.event, channel=body.channel, language=_check_language(body.language), cluster=cluster
    )
    _check_place(template)
    try:
        with transaction.atomic(using=databases.db_for_write(StaffTemplate)):
            template.save()
    except IntegrityError as error:
        raise Problem("conflict", "There is a template for this event, channel and language already.") from error
    return _describe(template)


def _check_language(text: str) -> str:
    code = text.strip().lower().replace("_", "-")
    if code and not LANGUAGE_PATTERN.fullmatch(code):
        raise _make_error("language", "Enter a language code such as de or de-at.")
    return code


def _check_place(template: StaffTemplate) -> None:
    event = NOTIFICATION_EVENTS.named(template.event)
    # As in the admin: digests have only template files, and messages of a sensitive event carry only a link.
    if event is None or event.sensitive or event.name in {one.value for one in DIGESTS.values()}:
        raise _make_error("event", "There is no such event, or it cannot have a staff template.")
    supported = {key_of(name) for name in (*event.named_channels, *event.fallback.values())}
    channels = supported & conf.current().enabled_channels
    if template.channel not in channels:
        raise _make_error("channel", f"The event supports only: {', '.join(sorted(channels))}.")


def _make_error(name: str, message: str) -> Problem:
    return Problem("invalid", errors=[{"location": f"body.{name}", "message": message}])


@router.get("/{int:id}", auth=READ, response=Template, operation_id="getTemplate", summary="Get a staff template")
def get_template(request: HttpRequest, id: Id) -> Any:
    """Return a template with the numbers of its latest and its published version."""
    return _describe(_find(get_caller(request), id))


@router.get(
    "/{int:id}/versions", auth=READ, response=VersionPage, operation_id="listVersions", summary="List the versions"
)
def list_versions(request: HttpRequest, id: Id, cursor: Cursor = None, limit: Limit = 50) -> Any:
    """Return the versions of a template with their texts."""
    template = _find(get_caller(request), id)
    page = paginate_by_id("versions", template.versions.all(), cursor, limit)
    return {"items": [_describe_version(row, template) for row in page.rows], "next_cursor": page.next_cursor}


@router.post(
    "/{int:id}/versions", auth=CHANGE, response={201: Version}, operation_id="addVersion", summary="Save a version"
)
def add_version(request: HttpRequest, id: Id, body: NewVersion) -> Any:
    """Save new texts, without publishing them.

    If somebody has saved another version since `expected_version`, the answer is 409. Texts with a syntax error are
    refused.
    """
    caller = get_caller(request)
    template = _find(caller, id, changes=True)
    texts = {name: getattr(body, name).replace("\r\n", "\n") for name in VARIANTS}
    if fault := find_syntax_fault(texts):
        raise _make_error(fault[0], str(fault[1]))
    try:
        version = template.save_version(texts, body.expected_version, caller.user, body.comment)
    except EditConflict as error:
        raise Problem("conflict", str(error)) from error
    return _describe_version(version, template)


@router.post(
    "/{int:id}/publish", auth=PUBLISH, response=Template, operation_id="publishTemplate", summary="Publish a version"
)
def publish_version(request: HttpRequest, id: Id, body: Publication) -> Any:
    """Let workers use a version from the next message on. An earlier version is a rollback.

    The version is first tried with past notifications. If one of them would break, or if another version than
    `expected_version` is published by now, the answer is 409, and nothing changes.
    """
    caller = get_caller(request)
    template = _find(caller, id, changes=True)
    version = template.versions.filter(number=body.version).first()
    if version is None:
        raise _make_error("version", "The template has no such version.")
    shows_values = caller.user.has_perm("klaxon.view_notification")
    try:
        publish(version, shows_values=shows_values, expected_version=body.expected_version)
    except PublishRefused as error:
        errors = [{"location": "body.version", "message": problem} for problem in error.problems[:MAX_PROBLEMS]]
        raise Problem("conflict", "Notifications would break.", errors=errors) from error
    except EditConflict as error:
        raise _make_published_conflict(error) from error
    return _describe(_find(caller, id))


@router.post(
    "/{int:id}/unpublish",
    auth=PUBLISH,
    response=Template,
    operation_id="unpublishTemplate",
    summary="Use the template files again",
)
def unpublish_version(request: HttpRequest, id: Id, body: Withdrawal) -> Any:
    """Let workers use the template files again. If another version is published by now, the answer is 409."""
    caller = get_caller(request)
    try:
        unpublish(_find(caller, id, changes=True), expected_version=body.expected_version)
    except EditConflict as error:
        raise _make_published_conflict(error) from error
    return _describe(_find(caller, id))


def _make_published_conflict(error: EditConflict) -> Problem:
    state = f"Version {error.latest.number}" if error.latest else "No version"
    return Problem("conflict", f"{state} is published by now.")
