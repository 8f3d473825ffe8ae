"""Wrong settings, and the error or warning of ``manage.py check`` that says what to set instead."""

import pytest
from django.contrib.auth.models import User

from notifications.channels import BaseChannel
from notifications.checks import run_checks
from notifications.conf.channels import BUILT_IN_CHANNELS
from notifications.events import BuiltInEvents, NotificationChannel
from notifications.testing import temporary_events
from tests.newcomer import is_one_clear_answer
from tests.shop.notification_events import ShopEvents


@pytest.fixture
def own_events():
    """Those of other apps need channels that these settings do not have."""
    with temporary_events() as events:
        for member in list(events):
            if not isinstance(member, ShopEvents | BuiltInEvents):
                del events[member]
        yield events


class Unfinished(BaseChannel):
    def prepare(self, delivery, rendered):
        return rendered


def members_of_nothing():
    return User.objects.all()


CHANNELS = {"log": {}}
BUILT_IN = ", ".join(sorted(BUILT_IN_CHANNELS))
MADE_OF_EMAIL_BACKEND = {"BACKEND": "django.core.mail.backends.smtp.EmailBackend"}
# The keys of NOTIFICATIONS, and other settings beside it, with the id, message and hint of the check.
SETTINGS = {
    "a key is misspelt": (
        {"RETRY_DELAY": [60]},
        {},
        "E001 NOTIFICATIONS has an unknown key 'RETRY_DELAY'. Did you mean 'RETRY_DELAYS'?",
    ),
    "a key is in small letters": (
        {"batch_size": 5},
        {},
        "E001 NOTIFICATIONS has an unknown key 'batch_size'. Did you mean 'BATCH_SIZE'?",
    ),
    "the setting is a list": (
        [("WORKERS", 2)],
        {},
        "E001 NOTIFICATIONS must be a dict. Write NOTIFICATIONS = {} to use the defaults.",
    ),
    "retries are one number": (
        {"RETRY_DELAYS": 60},
        {},
        "E001 NOTIFICATIONS['RETRY_DELAYS'] is 60. It must be a list of seconds, or a text such as "
        '"exponential:60,2,6h": the first delay, a factor, the longest delay.',
    ),
    "retries that grow lack a factor": (
        {"RETRY_DELAYS": "exponential:60"},
        {},
        "E001 NOTIFICATIONS['RETRY_DELAYS'] is 'exponential:60'. It must be a list of seconds, or a text such as "
        '"exponential:60,2,6h": the first delay, a factor, the longest delay.',
    ),
    "workers are a text": (
        {"WORKERS": "4"},
        {},
        "E001 NOTIFICATIONS['WORKERS'] is '4'. It must be a whole number of at least 1.",
    ),
    "a way to deliver is unknown": (
        {"DELIVERY": "sync"},
        {},
        "E001 NOTIFICATIONS['DELIVERY'] is 'sync'. It must be either \"queued\" or \"immediate\".",
    ),
    "channels are a list": (
        {"CHANNELS": ["email"]},
        {},
        "E001 NOTIFICATIONS['CHANNELS'] is ['email']. It must be a dict of channel name to a dict of its settings.",
    ),
    "a channel's name is misspelt": (
        {"CHANNELS": {"emial": {}}},
        {},
        "E001 NOTIFICATIONS['CHANNELS']['emial'] names no BACKEND. Did you mean 'email'? If not, add the dotted path "
        f"of a channel class; only {BUILT_IN} come with one.",
    ),
    "a channel has no class": (
        {"CHANNELS": {"pager": {}}},
        {},
        "E001 NOTIFICATIONS['CHANNELS']['pager'] names no BACKEND. Add the dotted path of a channel class; only "
        f"{BUILT_IN} come with one.",
    ),
    "a channel's class cannot be imported": (
        {"CHANNELS": {**CHANNELS, "sms": {"BACKEND": "shop.sms.SmsChannel"}}},
        {},
        "E006 The channel 'sms' cannot be created: No module named 'shop'. Set BACKEND of "
        "NOTIFICATIONS['CHANNELS']['sms'] to the dotted path of a subclass of notifications.channels.BaseChannel.",
    ),
    "a channel is made of an email backend": (
        {"CHANNELS": {**CHANNELS, "email": MADE_OF_EMAIL_BACKEND}},
        {},
        "E006 The channel 'email' has the BACKEND 'django.core.mail.backends.smtp.EmailBackend', which is an email "
        "backend and not a channel. Remove BACKEND of NOTIFICATIONS['CHANNELS']['email']: the channel 'email' uses "
        "EMAIL_BACKEND, or its own option 'backend'.",
    ),
    "an option of a channel is a text instead of a list": (
        {"CHANNELS": {**CHANNELS, "email": {"OPTIONS": {"reply_to": "shop@example.com"}}}},
        {},
        "E006 The channel 'email' has the option 'reply_to', which must be a list of texts. Correct it in OPTIONS of "
        "NOTIFICATIONS['CHANNELS']['email'].",
    ),
    "a channel has nothing to send with": (
        {"CHANNELS": {**CHANNELS, "sms": {"BACKEND": f"{__name__}.Unfinished"}}},
        {},
        "E006 The channel 'sms' has the class Unfinished, which does not implement send(). Implement send() in that "
        "class, as BaseChannel describes it.",
    ),
    "a channel is False": (
        {"CHANNELS": {"app": False}},
        {},
        "E001 NOTIFICATIONS['CHANNELS']['app'] is False. It must be a dict; {\"ENABLED\": False} switches the channel "
        "off.",
    ),
    "a channel is a member": (
        {"CHANNELS": {NotificationChannel.EMAIL: {}}},
        {},
        "E001 NOTIFICATIONS['CHANNELS'] has the key <NotificationChannel.EMAIL: 'email'>. Write the channel's name as "
        "a text: 'email'.",
    ),
    "an option of a channel is misspelt": (
        {"CHANNELS": {**CHANNELS, "email": {"OPTIONS": {"from": "shop@example.com"}}}},
        {},
        "E006 The channel 'email' has no option 'from'. Known options: allow_smtp_without_tls, backend, "
        "backend_options, feedback_id, from_email, html_from_text, mailer, reply_to.",
    ),
    "a key of a channel is in small letters": (
        {"CHANNELS": {**CHANNELS, "email": {"options": {}}}},
        {},
        "E001 NOTIFICATIONS['CHANNELS']['email'] has an unknown key 'options'. Did you mean 'OPTIONS'?",
    ),
    "a limit is a number": (
        {"LIMITS": {"user": 100}},
        {},
        "E001 NOTIFICATIONS['LIMITS']['user'] is 100. '100' is not a rate. Write \"100/h\", or \"100/h burst 20\", per "
        "s, m, h or d.",
    ),
    "a limit's name is misspelt": (
        {"LIMITS": {"users": "100/h"}},
        {},
        "E001 NOTIFICATIONS['LIMITS'] has an unknown key 'users'. Did you mean 'user'?",
    ),
    "quiet hours are one text": (
        {"QUIET_HOURS": "22-7"},
        {},
        "E001 NOTIFICATIONS['QUIET_HOURS'] is '22-7'. It must be two times of day such as [\"22:00\", \"07:00\"], or "
        "empty for none.",
    ),
    "quiet hours are in English": (
        {"QUIET_HOURS": ["10pm", "7am"]},
        {},
        "E001 NOTIFICATIONS['QUIET_HOURS'] is ['10pm', '7am']. It must be two times of day such as [\"22:00\", "
        '"07:00"], or empty for none.',
    ),
    "a channel of digests is misspelt": (
        {"DIGEST_CHANNELS": ["emails"]},
        {},
        "E001 NOTIFICATIONS['DIGEST_CHANNELS'] names 'emails', which is not in CHANNELS. Did you mean 'email'?",
    ),
    "the address of the site has no scheme": (
        {"BASE_URL": "shop.example.com"},
        {},
        "E001 NOTIFICATIONS['BASE_URL'] is 'shop.example.com'. It must be the address of your site, such as "
        '"https://example.com".',
    ),
    "the folder of the spool is relative": (
        {"SPOOL_DIR": "spool"},
        {},
        "E001 NOTIFICATIONS['SPOOL_DIR'] is 'spool'. It must be the absolute path of a folder, or empty for no spool.",
    ),
    "a field of addresses does not exist": (
        {"CHANNELS": CHANNELS, "ADDRESS_FIELDS": {"email": "mail"}},
        {},
        "E015 NOTIFICATIONS['ADDRESS_FIELDS'] names the field 'mail' for addresses of the kind 'email', but the model "
        "auth.User does not have it. Did you mean 'email'?",
    ),
    "members cannot be imported": (
        {"CHANNELS": CHANNELS, "MEMBERS_OF": "members"},
        {},
        "E007 NOTIFICATIONS['MEMBERS_OF'] cannot be imported: members doesn't look like a module path. Set it to the "
        "dotted path of a callable such as: def members_of(cluster): return cluster.residents.all()",
    ),
    "members take no cluster": (
        {"CHANNELS": CHANNELS, "MEMBERS_OF": f"{__name__}.members_of_nothing"},
        {},
        f"E007 NOTIFICATIONS['MEMBERS_OF'] is '{__name__}.members_of_nothing', which does not accept one argument. "
        "Set it to the dotted path of a callable such as: def members_of(cluster): return cluster.residents.all()",
    ),
    "a cluster model has no members": (
        {"CHANNELS": CHANNELS},
        {"NOTIFICATIONS_CLUSTER_MODEL": "auth.Group"},
        "E007 NOTIFICATIONS['MEMBERS_OF'] is required with your own cluster model. Set it to the dotted path of a "
        "callable such as: def members_of(cluster): return cluster.residents.all()",
    ),
    "a cluster model has no app": (
        {},
        {"NOTIFICATIONS_CLUSTER_MODEL": "Estate"},
        "E008 NOTIFICATIONS_CLUSTER_MODEL is 'Estate': It does not have the form 'app_label.ModelName'. Set it "
        "to an installed model, as 'app_label.ModelName'.",
    ),
    "preferences have no method": (
        {"CHANNELS": CHANNELS, "PREFERENCES": "django.contrib.auth.models.User"},
        {},
        "E012 NOTIFICATIONS['PREFERENCES'] is 'django.contrib.auth.models.User', which has no method load(). Set it "
        "to the dotted path of a class with a method load(cluster, user_ids).",
    ),
    "the sender of mails is no address": (
        {"CHANNELS": CHANNELS},
        {"DEFAULT_FROM_EMAIL": "The Shop"},
        "E020 A sender of emails is invalid: DEFAULT_FROM_EMAIL 'The Shop' has no address of the form "
        "name@example.com. Set it to one address, such as shop@example.com or 'The Shop <shop@example.com>'.",
    ),
    "times have no zone": (
        {"CHANNELS": CHANNELS},
        {"USE_TZ": False},
        "E010 USE_TZ is False, but leases and retries require aware datetimes. Set USE_TZ = True, which has been "
        "Django's default since 5.0.",
    ),
    "there is no template engine": (
        {"CHANNELS": CHANNELS},
        {"TEMPLATES": []},
        "E032 Notifications cannot be rendered: No DjangoTemplates backend is configured. Add an entry with the "
        "BACKEND 'django.template.backends.django.DjangoTemplates' and 'APP_DIRS': True to TEMPLATES.",
    ),
    "templates of apps are not looked for": (
        {"CHANNELS": CHANNELS},
        {"TEMPLATES": [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]},
        "E033 The first 'django.template.backends.django.DjangoTemplates' in TEMPLATES does not find Klaxon's own "
        "templates, such as 'notifications/gathered/any.txt'. Set its APP_DIRS to True, or add "
        "'django.template.loaders.app_directories.Loader' to the loaders in its OPTIONS.",
    ),
    "a setting stands beside the dict": (
        {"CHANNELS": CHANNELS},
        {"NOTIFICATIONS_WORKERS": 4},
        "W006 Klaxon does not read the setting NOTIFICATIONS_WORKERS. Write it as NOTIFICATIONS['WORKERS'].",
    ),
    "notifications are switched off": (
        {"CHANNELS": CHANNELS, "ENABLED": False},
        {},
        "W008 Notifications are disabled: nothing is queued or delivered. Set NOTIFICATIONS['ENABLED'] to True, or "
        "silence klaxon.W008 if this is intended.",
    ),
}


@pytest.mark.parametrize("mistake", SETTINGS)
def test_a_wrong_setting_is_answered_by_check(mistake, settings, own_events):
    settings.NOTIFICATIONS, beside, sentence = SETTINGS[mistake]
    for name, value in beside.items():
        setattr(settings, name, value)
    answers = [f"{message.id.removeprefix('klaxon.')} {message.msg} {message.hint}" for message in run_checks(None)]
    assert answers == [sentence]
    assert is_one_clear_answer(sentence)
