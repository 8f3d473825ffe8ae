"""Foreign keys that bind nothing: the row that they name may be deleted, and the row that has them stays as it is."""

from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import models
from django.db.models.fields.related_descriptors import ForwardManyToOneDescriptor


class LooseDescriptor(ForwardManyToOneDescriptor):
    def __get__(self, instance: Any, cls: Any = None) -> Any:
        """The row that is named, or None if it is gone."""
        try:
            return super().__get__(instance, cls)
        except ObjectDoesNotExist:
            return None


class LooseForeignKey(models.ForeignKey):
    """Has no constraint, and is None where the row that it names is gone.

    ``dumpdata --natural-foreign`` reads that row to tell its natural key, and would fail without it. The key itself
    stays in the column.
    """

    forward_related_accessor_class = LooseDescriptor

    def __init__(self, to: Any, **options: Any) -> None:
        super().__init__(to, **{"on_delete": models.DO_NOTHING, "db_constraint": False, "related_name": "+", **options})

    def deconstruct(self) -> tuple[str, str, Any, Any]:
        """To migrations it is Django's own: the column is the same."""
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.ForeignKey", args, kwargs
