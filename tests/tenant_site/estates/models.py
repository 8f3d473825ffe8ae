"""An estate with a UUID as its key, and residents who log in by email."""

from uuid import uuid4

from django.contrib.auth.models import AbstractBaseUser
from django.db import models


class Estate(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    name = models.CharField(max_length=100)

    def __str__(self):
        return self.name


class Resident(AbstractBaseUser):
    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    email_address = models.EmailField(unique=True)
    estate = models.ForeignKey(Estate, on_delete=models.CASCADE, related_name="residents")
    moved_out = models.BooleanField(default=False)

    USERNAME_FIELD = "email_address"
    EMAIL_FIELD = "email_address"


def residents_of(estate):
    return estate.residents.filter(moved_out=False)
