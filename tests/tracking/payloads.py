"""Webhooks of email services, signed as each service signs them, with the fields that their documentation names."""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field

BASIC_USER = "klaxon:placeholder-secret"
MAILGUN_KEY = "placeholder-signing-key"
MESSAGE_IDS = {
    "amazon_ses": "0100017ab8e6c2f4-7a1b0001-2222-3333-4444-555566667777-000000",
    "postmark": "00000000-1111-4222-8333-444455556666",
    "mailgun": "<20260601080000.1.ABCDEF@mg.shop.example.com>",
    "sendgrid": "11111111-2222-4333-8444-555566667777",
    "brevo": "<202606010800.12345678901@smtp-relay.example.com>",
}


@dataclass
class Webhook:
    """One request, and what it is about: an anymail kind and, for a refusal, hard, soft or blocked."""

    service: str
    body: object
    headers: dict = field(default_factory=dict)

    def send(self, client, **wrong):
        headers = {**self.headers, **wrong}
        raw = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        return client.post(f"/anymail/{self.service}/tracking/", raw, content_type="application/json", headers=headers)


def basic_auth(user=BASIC_USER):
    return {"Authorization": "Basic " + base64.b64encode(user.encode()).decode()}


class Services:
    """Builds the webhooks. Each has its own event id, unless ``event_id`` is given."""

    def __init__(self, signing_key=None):
        self.signing_key = signing_key
        self.count, self.changes = 0, {}

    def build(self, service, kind, address, event_id=None, changes=None, **fields):
        """Return a webhook. ``changes`` replace fields of its event."""
        self.count, self.changes = self.count + 1, changes or {}
        return getattr(self, service)(kind, address, event_id or f"event-{self.count}", **fields)

    def amazon_ses(self, kind, address, event_id, subtype="General", diagnostic="smtp; 550 5.1.1 user unknown"):
        recipient = {"emailAddress": address, "action": "failed", "status": "5.1.1", "diagnosticCode": diagnostic}
        bounce = {"bounceSubType": subtype, "bouncedRecipients": [recipient], "feedbackId": f"f-{event_id}"}
        details = {
            "delivered": ("Delivery", {"recipients": [address], "smtpResponse": "250 2.0.0 OK"}),
            "hard": ("Bounce", {"bounceType": "Permanent", **bounce}),
            "soft": ("Bounce", {"bounceType": "Transient", **bounce}),
            "Reject": ("Reject", {"reason": "Bad content"}),
            "complained": (
                "Complaint",
                {"complainedRecipients": [{"emailAddress": address}], "complaintFeedbackType": "abuse"},
            ),
            "opened": ("Open", {"ipAddress": "192.0.2.1", "userAgent": "Mozilla/5.0 (X11; Linux) Reader"}),
            "clicked": ("Click", {"link": "https://shop.example.com/", "userAgent": "Mozilla/5.0 (X11; Linux)"}),
        }
        name, detail = details[kind]
        mail = {"messageId": MESSAGE_IDS["amazon_ses"], "destination": [address], "source": "shop@example.com"}
        body = {
            "Type": "Notification",
            "MessageId": event_id,
            "TopicArn": "arn:aws:sns:us-east-1:123456789012:placeholder",
            "Timestamp": "2026-06-01T08:00:00.000Z",
            "Message": json.dumps({"eventType": name, "mail": mail, name.lower(): detail}),
        }
        sns = {"x-amz-sns-message-type": "Notification", "x-amz-sns-message-id": event_id}
        return Webhook("amazon_ses", body, {**basic_auth(), **sns})

    def postmark(self, kind, address, event_id, details="550 5.1.1 user unknown"):
        common = {"MessageID": MESSAGE_IDS["postmark"], "Tag": "", "Metadata": {}, "MessageStream": "outbound"}
        bounce = {"RecordType": "Bounce", "ID": event_id, "Email": address, "BouncedAt": "2026-06-01T08:00:00Z"}
        bounce |= {"Details": details, "Description": "The server was unable to deliver your message."}
        rejected = {name: {**bounce, "Type": name} for name in ("Blocked", "DMARCPolicy", "VirusNotification")}
        kinds = {
            "delivered": {"RecordType": "Delivery", "Recipient": address, "DeliveredAt": "2026-06-01T08:00:00Z"},
            "deferred": {**bounce, "Type": "Transient", "TypeCode": 2},
            "hard": {**bounce, "Type": "HardBounce", "TypeCode": 1},
            "soft": {**bounce, "Type": "SoftBounce", "TypeCode": 4096},
            "blocked": {**bounce, "Type": "ManuallyDeactivated", "TypeCode": 100008},
            **rejected,
            "complained": {**bounce, "RecordType": "SpamComplaint", "Type": "SpamComplaint", "TypeCode": 512},
            "unsubscribed": {
                "RecordType": "SubscriptionChange",
                "Recipient": address,
                "ChangedAt": "2026-06-01T08:00:00Z",
                "SuppressSending": True,
                "SuppressionReason": "ManualSuppression",
            },
            "opened": {
                "RecordType": "Open",
                "Recipient": address,
                "ReceivedAt": "2026-06-01T08:00:00Z",
                "UserAgent": "Mozilla/5.0 (X11; Linux) Reader",
                "FirstOpen": True,
            },
            "clicked": {
                "RecordType": "Click",
                "Recipient": address,
                "ReceivedAt": "2026-06-01T08:00:00Z",
                "OriginalLink": "https://shop.example.com/",
                "UserAgent": "Mozilla/5.0 (X11; Linux)",
            },
        }
        return Webhook("postmark", {**common, **kinds[kind], **self.changes}, basic_auth())

    def mailgun(self, kind, address, event_id, message="550 5.1.1 user unknown"):
        failed = {"event": "failed", "delivery-status": {"code": 550, "message": message, "description": ""}}
        kinds = {
            "delivered": {"event": "delivered", "delivery-status": {"code": 250, "message": "OK"}},
            "deferred": {**failed, "severity": "temporary", "reason": "generic"},
            "hard": {**failed, "severity": "permanent", "reason": "bounce"},
            "soft": {
                **failed,
                "severity": "permanent",
                "reason": "generic",
                "delivery-status": {"code": 552, "message": "552 5.2.2 mailbox full"},
            },
            "complained": {"event": "complained"},
            "unsubscribed": {"event": "unsubscribed"},
            "opened": {"event": "opened", "client-info": {"user-agent": "Mozilla/5.0 (X11; Linux) Reader"}},
            "clicked": {
                "event": "clicked",
                "url": "https://shop.example.com/",
                "client-info": {"user-agent": "Mozilla/5.0 (X11; Linux)"},
            },
        }
        headers = {"message-id": MESSAGE_IDS["mailgun"].strip("<>"), "to": address, "from": "shop@example.com"}
        data = {
            "id": f"id-{event_id}",
            "timestamp": 1780300800.1,
            "recipient": address,
            "message": {"headers": headers},
        }
        timestamp = "1780300801"
        signature = hmac.new(MAILGUN_KEY.encode(), f"{timestamp}{event_id}".encode(), hashlib.sha256).hexdigest()
        signed = {"timestamp": timestamp, "token": event_id, "signature": signature}
        return Webhook("mailgun", {"signature": signed, "event-data": {**data, **kinds[kind], **self.changes}})

    def sendgrid(self, kind, address, event_id, reason="550 5.1.1 user unknown"):
        agent = {"useragent": "Mozilla/5.0 (X11; Linux) Reader", "ip": "192.0.2.1"}
        kinds = {
            "delivered": {"event": "delivered", "response": "250 OK"},
            "deferred": {"event": "deferred", "response": "451 4.7.1 try again later", "attempt": "5"},
            "hard": {"event": "bounce", "type": "bounce", "reason": reason, "status": "5.1.1"},
            "soft": {"event": "bounce", "type": "expired", "reason": "unable to get mx info", "status": "4.4.7"},
            "blocked": {"event": "bounce", "type": "blocked", "reason": "550 5.7.124 not allowed", "status": "5.7.124"},
            "complained": {"event": "spamreport"},
            "unsubscribed": {"event": "unsubscribe"},
            "opened": {"event": "open", **agent},
            "clicked": {"event": "click", "url": "https://shop.example.com/", **agent},
        }
        common = {"email": address, "timestamp": 1780300800, "sg_event_id": event_id, "sg_message_id": "m.filter"}
        body = json.dumps([{**common, "anymail_id": MESSAGE_IDS["sendgrid"], **kinds[kind], **self.changes}]).encode()
        return Webhook("sendgrid", body, self.sign_sendgrid(body))

    def sign_sendgrid(self, body):
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        timestamp = "1780300801"
        signature = self.signing_key.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        return {
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
        }

    def brevo(self, kind, address, event_id, reason="550 5.1.1 user unknown"):
        kinds = {
            "delivered": {"event": "delivered"},
            "deferred": {"event": "deferred", "reason": "451 4.7.1 try again later"},
            "hard": {"event": "hard_bounce", "reason": reason},
            "soft": {"event": "soft_bounce", "reason": "552 5.2.2 mailbox full"},
            "blocked": {"event": "blocked", "reason": ""},
            "complained": {"event": "spam"},
            "unsubscribed": {"event": "unsubscribe"},
            "opened": {"event": "unique_opened"},
            "clicked": {"event": "click", "link": "https://shop.example.com/"},
        }
        # Brevo has no event ids; its events differ in their time.
        at = 1780300800000 + int(hashlib.sha256(event_id.encode()).hexdigest()[:6], 16)
        common = {
            "email": address,
            "id": 1,
            "message-id": MESSAGE_IDS["brevo"].strip("<>"),
            "ts_epoch": at,
            "subject": "News",
        }
        return Webhook("brevo", {**common, **kinds[kind], **self.changes}, basic_auth())
