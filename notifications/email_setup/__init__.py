"""Examine whether receivers can trust the emails of this site: SPF, DKIM and DMARC, TLS, and a test mail.

``manage.py check_email_setup`` prints the findings.
"""
