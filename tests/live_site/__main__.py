"""Serve the host: ``python -m tests.live_site PORT asgi``, or ``wsgi``. It prints a line when it listens."""

import asyncio
import os
import socket
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.live_site.settings")


def serve_wsgi(port):
    from django.contrib.staticfiles.handlers import StaticFilesHandler
    from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
    from django.core.wsgi import get_wsgi_application

    class Quiet(WSGIRequestHandler):
        def log_message(self, *args):
            pass

    server = ThreadedWSGIServer(("127.0.0.1", port), Quiet)
    server.set_app(StaticFilesHandler(get_wsgi_application()))
    print("ready", flush=True)
    server.serve_forever()


def listen(port):
    """Return a socket that listens. Its connections have a send buffer of ``KLAXON_SEND_BUFFER`` bytes, if that is set.

    Linux keeps megabytes for a client that does not read, so a server would notice it late.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if size := os.environ.get("KLAXON_SEND_BUFFER"):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, int(size))
    listener.bind(("127.0.0.1", port))
    return listener


async def serve_asgi(port):
    import uvicorn

    from tests.live_site.asgi import application

    config = uvicorn.Config(application, port=port, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([listen(port)]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.02)
    print("ready", flush=True)
    await serving


if __name__ == "__main__":
    number, kind = int(sys.argv[1]), sys.argv[2]
    if kind == "wsgi":
        serve_wsgi(number)
    else:
        asyncio.run(serve_asgi(number))
