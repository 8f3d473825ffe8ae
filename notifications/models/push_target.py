"""What browsers and phones that receive push messages have in common: each belongs to a user, who can have several."""

from collections import defaultdict
from collections.abc import Collection
from typing import Any, Self, TypeVar

from django.contrib.auth import get_user_model
from django.db import models, router

from notifications.storage.engine import array_subquery

Target = TypeVar("Target", bound=models.Model)


class PushTargetQuerySet(models.QuerySet[Target]):
    """The browsers or phones of users, in a model with the field ``user``."""

    oldest_first: tuple[str, ...] = ("pk",)

    def of(self, user: Any) -> Self:
        """Return those of a user."""
        return self.filter(user=user)

    def find_users(self, user_ids: Collection[Any]) -> set[Any]:
        """Return the primary keys of those of these users who have one."""
        return set(self.filter(user__in=self._select(user_ids)).values_list("user", flat=True).distinct())

    def load_by_user(self, user_ids: Collection[Any]) -> dict[Any, list[Target]]:
        """Return those of each of these users, the oldest first, with one query."""
        found: dict[Any, list[Target]] = defaultdict(list)
        for target in self.filter(user__in=self._select(user_ids)).order_by(*self.oldest_first):
            found[target.user_id].append(target)  # type: ignore[attr-defined]
        return found

    def forget_oldest(self, user: Any, limit: int) -> None:
        """Delete those of a user beyond the newest ones."""
        rows = self.of(user)
        newest_first = [f"-{name}" for name in self.oldest_first]
        extra = list(rows.order_by(*newest_first).values_list("pk", flat=True)[limit:])
        if extra:
            rows.filter(pk__in=extra).delete()

    def _select(self, user_ids: Collection[Any]) -> Any:
        using = getattr(self, "_db", None) or router.db_for_write(self.model)
        return array_subquery(user_ids, get_user_model()._meta.pk, using)
