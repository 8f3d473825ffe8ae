"""A flattened template renders the same text as Django does."""

from pathlib import Path

import pytest
from django.template import Context, Engine
from django.utils.translation import override

from notifications.core import extras
from notifications.delivering.rendering.flattening import prepare_html

ROOT = Path(__file__).parents[3]
BASE = """{% load i18n %}<title>{% block title %}Base{% endblock %}</title>
{% for item in items %}<li>{% block item %}{{ item }}{% endblock %}</li>{% empty %}none{% endfor %}
{% if flag %}{% block yes %}yes {{ x }}{% endblock %}{% elif other %}maybe{% else %}
{% block no %}no{% endblock %}{% endif %}
{% block outer %}[{% block inner %}inner{% endblock %}]{% endblock %}{% with y=x %}{{ y }}{% endwith %}{{ leaked }}"""
MIDDLE = """{% extends "base.html" %}{% load i18n %}
{% block title %}Middle, {{ block.super }}{% endblock %}
{% block inner %}{% translate "Yes" as leaked %}{{ leaked }}{% endblock %}
{% block unused %}{{ nothing }}{% endblock %}"""
CHILD = """{% extends "middle.html" %}{# a comment #}
{% block title %}Child, {{ block.super }}{% endblock %}
{% block item %}<b>{{ item }}</b>{{ block.super }}{% endblock %}
{% block yes %}{% include "part.html" %}{% endblock %}"""
FILES = {
    "base.html": BASE,
    "middle.html": MIDDLE,
    "child.html": CHILD,
    "part.html": "part {{ x }}{% block part %}!{% endblock %}{% if deep %}{% include 'part.html' %}{% endif %}",
    "includes.html": "{% include 'part.html' %}{% include 'part.html' with x=3 %}{% include 'part.html' only %}",
    "dynamic.html": "{% extends parent %}{% block title %}Dynamic{% endblock %}",
    "filtered.html": "{% extends 'base.html' %}{% block title %}{{ block.super|upper }}{% endblock %}",
    "condition.html": "{% extends 'base.html' %}{% block title %}{% if block.super %}a{% endif %}{% endblock %}",
    "missing.html": "{% if never %}{% include 'no-such.html' %}{% endif %}x",
    "tags.html": "{% load i18n %}{% spaceless %}<p> {{ x }} </p> <p>{% language 'de' %}{% translate 'Yes' %}"
    "{% endlanguage %}</p>{% endspaceless %}{% filter upper %}<i>{{ x }}</i>{% endfilter %}{% autoescape off %}{{ x }}"
    "{% endautoescape %}{% verbatim %}{{ x }}{% endverbatim %}{% comment %}{{ x }}{% endcomment %}"
    "{% blocktranslate with n=x %}<b>{{ n }}</b>{% endblocktranslate %}{% cycle 'a' 'b' %}"
    "{% ifchanged x %}c{% endifchanged %}",
}
CONTEXTS = [
    {"parent": "base.html"},
    {"items": ["a", "<b>"], "flag": True, "x": "<&>", "parent": "middle.html"},
    {"items": [], "other": True, "x": 1, "leaked": "own", "parent": "base.html"},
]


@pytest.fixture(autouse=True)
def without_inlining(monkeypatch):
    monkeypatch.setattr(extras, "is_installed", lambda module: False)


@pytest.fixture
def engine():
    return Engine(
        loaders=[("django.template.loaders.locmem.Loader", FILES)], libraries={"i18n": "django.templatetags.i18n"}
    )


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("values", CONTEXTS)
def test_the_text_is_the_same(engine, name, values):
    template = engine.get_template(name)
    assert prepare_html(template).render(Context(values)) == template.render(Context(values))


@pytest.mark.parametrize("name", ["child.html", "includes.html", "tags.html"])
def test_a_flattened_template_can_be_rendered_many_times(engine, name):
    prepared = prepare_html(engine.get_template(name))
    values = CONTEXTS[1]
    assert prepared.render(Context(values)) == prepared.render(Context(values))


def test_neighbouring_texts_are_one(engine):
    template = engine.from_string("a{# comment #}b{% load i18n %}c{% block x %}d{% endblock %}e")
    [text] = prepare_html(template).nodelist
    assert text.s == "abcde"


def test_a_template_can_extend_the_next_one_of_its_name():
    loaders = [
        ("django.template.loaders.locmem.Loader", {"a.html": "{% extends 'a.html' %}{% block x %}own{% endblock %}"}),
        ("django.template.loaders.locmem.Loader", {"a.html": "<p>{% block x %}{% endblock %}</p>"}),
    ]
    assert prepare_html(Engine(loaders=loaders).get_template("a.html")).render(Context()) == "<p>own</p>"


@pytest.mark.parametrize("language", ["en", "de", "ar"])
def test_klaxon_and_the_examples_have_the_same_text(language):
    engine = Engine.get_default()
    names = [
        str(path).partition("/templates/")[2]
        for folder in ("notifications/templates/notifications", "example_project")
        for path in (ROOT / folder).rglob("*.html")
        if path.name.startswith("email") or "/email/" in str(path)
    ]
    assert len(names) > 30
    with override(language):
        for name in names:
            template = engine.get_template(name)
            digest = {"backlog": [{"label": "Orders", "count": 2}], "figures": {"sent": 2}}
            values = {"count": 2, **digest, "layout": {"subject": "<Subject>"}}
            assert prepare_html(template).render(Context(values)) == template.render(Context(values)), name
