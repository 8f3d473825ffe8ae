"""What happens to deliveries after they were sent: bounces, complaints, opens and clicks.

Providers report it to webhooks, mail servers by mail, and recipients by opening and clicking.
"""
