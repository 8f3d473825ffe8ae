"""The pages of the host."""

from django.http import HttpResponse
from django.shortcuts import render

STYLES = """
.top { color: #fff; }
.top nav { display: flex; align-items: center; justify-content: space-between; }
"""


def host(request):
    """A page of the host, with the bell."""
    sound = "/ping.ogg" if request.GET.get("sound") == "1" else ""
    return render(request, "host.html", {"socket": request.GET.get("socket") == "1", "sound": sound})


def styles(request):
    return HttpResponse(STYLES, content_type="text/css")
