"""A host that puts the bell into its pages, with a strict Content Security Policy; under ASGI or under WSGI."""
