"""Callbacks of SMS and voice services: what happened to a message, what recipients answer, and the keys they press.

Anyone can call these views, so each request must have the signature of a service of the site.
"""
