"""The policy ``default-src 'self'``, and a file with the reports of browsers about violations."""

import os
from pathlib import Path

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpResponse
from django.views.decorators.csrf import csrf_exempt

POLICY = "default-src 'self'; report-uri /csp-report/"


def strict_policy(get_response):
    if iscoroutinefunction(get_response):

        async def respond(request):
            response = await get_response(request)
            response.headers.setdefault("Content-Security-Policy", POLICY)
            return response

        return markcoroutinefunction(respond)

    def respond_sync(request):
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response

    return respond_sync


strict_policy.async_capable = True


@csrf_exempt
def report(request):
    with Path(os.environ["KLAXON_CSP_REPORTS"]).open("ab") as file:
        file.write(request.body + b"\n")
    return HttpResponse(status=204)
