"""A site that does not include the URLs of Klaxon."""

urlpatterns: list = []
