"""The pages of the host."""

from django.http import HttpResponse
from django.shortcuts import render

STYLES = """
.top { color: #fff; }
.top nav { display: flex; align-items: center; justify-content: space-between; }
@media (width < 600px) { .top nav:has(+ .phone) { display: none; } }
@media (width >= 600px) { .top .phone { display: none; } }
"""


def host(request):
    """A page of the host, with the bell; with ``bells=1``, with another one for phones."""
    sound = "/ping.ogg" if request.GET.get("sound") == "1" else ""
    flags = {name: request.GET.get(name) == "1" for name in ("socket", "bells")}
    return render(request, "host.html", {**flags, "sound": sound})


def styles(request):
    return HttpResponse(STYLES, content_type="text/css")
