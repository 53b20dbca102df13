"""Overrides of generated rows: fields that tests set, objects that they delete.

Rows are generated afresh each time, so changes are kept beside them. It owns how a change is applied to a row, and the
number of a row whose id may be anything. It must not know what the rows are.
"""

from typing import Any, Final

from cffs.standin.generated_rows import Row

NO_ID: Final = -1
"""Stands for an id that is no number: hostile rows may hold anything."""


class Overrides:
    """Changes and deletions by kind and id, used under the lock of their CallStore."""

    def __init__(self) -> None:
        self._fields: dict[tuple[str, int], dict[str, Any]] = {}
        self._deleted: set[tuple[str, int]] = set()

    def set_fields(self, kind: str, object_id: int, fields: dict[str, Any]) -> None:
        """Set fields of the row; `...` removes one."""
        self._fields.setdefault((kind, object_id), {}).update(fields)

    def delete(self, kind: str, object_id: int) -> None:
        """Delete the row."""
        self._deleted.add((kind, object_id))

    def applied(self, kind: str, row: Row) -> Row:
        """The row with its changes."""
        fields = self._fields.get((kind, number_of(row))) if self._fields else None
        if not fields:
            return row
        return {name: value for name, value in {**row, **fields}.items() if value is not ...}

    def is_deleted(self, kind: str, row: Row) -> bool:
        """Whether the row is deleted."""
        return bool(self._deleted) and (kind, number_of(row)) in self._deleted

    def is_deleted_id(self, kind: str, object_id: int) -> bool:
        """Whether the row of that id is deleted."""
        return (kind, object_id) in self._deleted

    def touched_ids(self, kind: str) -> set[int]:
        """The ids of all rows that were changed or deleted."""
        return {object_id for its_kind, object_id in (*self._fields, *self._deleted) if its_kind == kind}


def number_of(row: Row) -> int:
    """The row's id; NO_ID where it is no number."""
    number = row.get("id")
    return number if isinstance(number, int) else NO_ID
