"""The URLs of the inbox, in the namespace ``notifications``."""

from django.urls import path

from notifications.inbox import views

urlpatterns = [
    path("", views.Inbox.as_view(), name="inbox"),
    path("unread-count/", views.UnreadCount.as_view(), name="unread-count"),
    path("mark-all-read/", views.MarkAllRead.as_view(), name="mark-all-read"),
    path("<int:pk>/", views.Item.as_view(), name="inbox-item"),
    path("<int:pk>/read/", views.MarkRead.as_view(), name="mark-read"),
]
