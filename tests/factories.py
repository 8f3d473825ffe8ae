"""Factories for users, clusters and preferences. Notifications are made as hosts make them: by ``send()``."""

import factory
from django.contrib.auth.models import User

from notifications.models import Cluster, UserSettings


class UserFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = User
        skip_postgeneration_save = True

    username = factory.Sequence(lambda number: f"user{number}")
    email = factory.LazyAttribute(lambda user: f"{user.username}@example.com")


class ClusterFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Cluster
        skip_postgeneration_save = True

    name = factory.Sequence(lambda number: f"Cluster {number}")
    slug = factory.Sequence(lambda number: f"cluster-{number}")

    @factory.post_generation
    def members(cluster, create, users):
        if create and users:
            cluster.members.add(*users)


class UserSettingsFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = UserSettings

    user = factory.SubFactory(UserFactory)
    cluster = factory.SubFactory(ClusterFactory)
