"""Pages that show the mails that the demonstration's SMTP server received."""

from email.message import EmailMessage

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.clickjacking import xframe_options_sameorigin

from example_project.demo import post_office


def home(request: HttpRequest) -> HttpResponse:
    return render(request, "demo/home.html")


def mails(request: HttpRequest) -> HttpResponse:
    return render(request, "demo/mails.html", {"mails": post_office.read_mails()})


def mail(request: HttpRequest, name: str) -> HttpResponse:
    return render(request, "demo/mail.html", {"mail": _mail(name), "name": name, "text": _part(_mail(name), "plain")})


@xframe_options_sameorigin
def body(request: HttpRequest, name: str) -> HttpResponse:
    """Return only the HTML part, without scripts, for a frame."""
    response = HttpResponse(_part(_mail(name), "html") or "This mail has no HTML part.")
    response["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
    return response


def _mail(name: str) -> EmailMessage:
    for file, found in post_office.read_mails():
        if file == name:
            return found
    raise Http404("No such mail.")


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return part.get_content() if part is not None else ""
