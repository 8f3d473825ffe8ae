"""The URLs of magic links, in the namespace ``notifications``.

The pattern of links matches everything, also a link that a mail program has changed, even by a line break. Otherwise,
Django would log its address as not found, and the log would contain a link that still works.
"""

from django.urls import path, re_path

from notifications.magic_links import views

urlpatterns = [
    path("", views.AskForLink.as_view(), name="ask-for-link"),
    path("open/", views.OpenLink.as_view(), name="open-link"),
    re_path(r"^(?P<link>[\s\S]+)\Z", views.show_link, name="magic-link"),
]
