"""Whether the provider of each channel accepts the settings of the site. Nothing is sent."""

from collections.abc import Iterator
from functools import partial

from notifications import conf
from notifications.channels import BaseChannel, create_channel
from notifications.channels.email import EmailChannel
from notifications.conf.channels import ProviderConf, get_circuit_key
from notifications.core import clock
from notifications.email_setup.server import check_server
from notifications.exceptions import CredentialsFault
from notifications.monitoring.doctor.diagnosis import Diagnosis, Status
from notifications.monitoring.doctor.side_by_side import run_side_by_side
from notifications.monitoring.doctor.site import Site

SILENT = "Check the network, the firewall and the status page of the provider. --timeout changes the time."


def examine_channels(site: Site) -> Iterator[Diagnosis]:
    """Ask all providers side by side."""
    calls = {
        f"channel {get_circuit_key(name, provider.name)}": partial(_examine_provider, name, provider)
        for name in sorted(conf.current().enabled_channels)
        for provider in conf.get_channel_conf(name).providers
    }
    yield from run_side_by_side(calls, site.seconds, SILENT)


def _examine_provider(name: str, provider: ProviderConf) -> Iterator[Diagnosis]:
    subject = f"channel {get_circuit_key(name, provider.name)}"
    try:
        channel = create_channel(name, provider)
    except Exception as error:  # noqa: BLE001 - the constructor of a channel may raise anything
        detail = f"The channel cannot be created: {error}"
        yield Diagnosis(Status.ERROR, subject, detail, f"Correct {_name_options(name, provider)}.")
        return
    try:
        if isinstance(channel, EmailChannel):
            yield from _examine_email(channel, subject)
        else:
            yield _ask(channel, name, provider, subject)
    finally:
        channel.close()


def _examine_email(channel: EmailChannel, subject: str) -> Iterator[Diagnosis]:
    for fault in channel.sender_faults:
        yield Diagnosis(Status.ERROR, subject, str(fault), "Correct DEFAULT_FROM_EMAIL or the option 'from_email'.")
    for finding in check_server(channel, clock.local_now()):
        # The site must reach its own server from where it runs.
        status = Status.ERROR if finding.status is Status.UNCHECKED else finding.status
        yield Diagnosis(status, subject, f"{finding.subject}: {finding.sentence}", finding.advice)


def _ask(channel: BaseChannel, name: str, provider: ProviderConf, subject: str) -> Diagnosis:
    options = _name_options(name, provider)
    try:
        answer = channel.check_credentials()
    except CredentialsFault as fault:
        named = " and ".join(map(repr, fault.options))
        remedy = fault.remedy or f"Correct {named} in {options}." * bool(named) or SILENT
        return Diagnosis(Status.ERROR, subject, str(fault), remedy)
    except Exception as error:  # noqa: BLE001 - a channel of the site may raise anything
        detail = f"check_credentials() failed: {type(error).__name__}: {error}"
        return Diagnosis(Status.ERROR, subject, detail, f"Correct the class of the channel, or {options}.")
    if answer:
        return Diagnosis(Status.OK, subject, answer)
    if channel.transactional:
        return Diagnosis(Status.OK, subject, "It writes to the database of the site.")
    detail = f"It can be created. Only a message shows more: send_test_notification --channel {name}."
    return Diagnosis(Status.OK, subject, detail)


def _name_options(name: str, provider: ProviderConf) -> str:
    setting = f"OPTIONS of NOTIFICATIONS['CHANNELS'][{name!r}]"
    return setting if provider.name == name else f"{setting}, provider {provider.name!r}"
