"""Foreign keys without a constraint. The referenced row can be deleted, and the referencing row stays unchanged."""

from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import models
from django.db.models.fields.related_descriptors import ForwardManyToOneDescriptor


class UnconstrainedDescriptor(ForwardManyToOneDescriptor):
    def __get__(self, instance: Any, cls: Any = None) -> Any:
        """Return the referenced row, or None if it no longer exists."""
        try:
            return super().__get__(instance, cls)
        except ObjectDoesNotExist:
            return None


class UnconstrainedForeignKey(models.ForeignKey):
    """A foreign key without a constraint. Its value is None if the referenced row no longer exists.

    ``dumpdata --natural-foreign`` reads the referenced row for its natural key, and would otherwise fail if the row is
    missing. The column keeps the key.
    """

    forward_related_accessor_class = UnconstrainedDescriptor

    def __init__(self, to: Any, **options: Any) -> None:
        super().__init__(to, **{"on_delete": models.DO_NOTHING, "db_constraint": False, "related_name": "+", **options})

    def deconstruct(self) -> tuple[str, str, Any, Any]:
        """Return a deconstruction as Django's ``ForeignKey``, because the column is the same."""
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.ForeignKey", args, kwargs
