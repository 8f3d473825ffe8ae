"""The URLs that SMS and voice services call. Klaxon's own ``urls.py`` includes them."""

from django.urls import path

from notifications.phone import gateway_views, twilio_views

urlpatterns = [
    path("twilio/message/", twilio_views.receive_message, name="twilio-message"),
    path("twilio/status/<str:token>/", twilio_views.receive_status, name="twilio-status"),
    path("twilio/key/<str:token>/", twilio_views.receive_key, name="twilio-key"),
    path("gateway/<str:provider>/", gateway_views.receive_callback, name="sms-gateway"),
]
