"""The URLs of the inbox, in the namespace ``notifications``."""

from django.urls import path

from notifications.inbox import api, views

urlpatterns = [
    path("", views.Inbox.as_view(), name="inbox"),
    path("feed.json", api.Feed.as_view(), name="inbox-feed"),
    path("change/", api.ChangeItems.as_view(), name="inbox-change"),
    path("export.csv", views.ExportCSV.as_view(), name="inbox-export-csv"),
    path("export.json", views.ExportJSON.as_view(), name="inbox-export-json"),
    path("unread-count/", api.UnreadCount.as_view(), name="unread-count"),
    path("mark-all-read/", api.MarkAllRead.as_view(), name="mark-all-read"),
    path("<int:pk>/", views.Item.as_view(), name="inbox-item"),
    path("<int:pk>/read/", api.MarkRead.as_view(), name="mark-read"),
    path("<int:pk>/act/<slug:name>/", api.TakeAction.as_view(), name="inbox-act"),
]
