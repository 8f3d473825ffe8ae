"""Live streams: a browser learns of a change in its user's inbox at once.

``announce`` is the sender: it reports to all web processes whose inbox a transaction has changed. In each web process,
the hub receives these announcements, reads what has changed and hands it to the streams: server-sent events or
WebSockets.
"""
