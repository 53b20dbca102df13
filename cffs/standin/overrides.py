"""Fields that tests have set and objects they have deleted, over rows that are generated anew each time.

This module owns how a change is laid over a row, and what names a row whose id may be anything.
It must not know what the rows are.
`call_book` keeps one.
"""

from typing import Any, Final

from cffs.standin.generated_rows import Row

NO_ID: Final = -1
"""Stands for an id that is no number: hostile rows may hold anything."""


class Changes:
    """Changes and deletions by kind and id. Owner: one `CallStore`, under whose lock it is used."""

    def __init__(self) -> None:
        self._fields: dict[tuple[str, int], dict[str, Any]] = {}
        self._deleted: set[tuple[str, int]] = set()

    def set_fields(self, kind: str, object_id: int, fields: dict[str, Any]) -> None:
        """From now on the row has these; `...` removes one."""
        self._fields.setdefault((kind, object_id), {}).update(fields)

    def delete(self, kind: str, object_id: int) -> None:
        """From now on the row is not there."""
        self._deleted.add((kind, object_id))

    def applied(self, kind: str, row: Row) -> Row:
        """The row as changed."""
        fields = self._fields.get((kind, number_of(row))) if self._fields else None
        if not fields:
            return row
        return {name: value for name, value in {**row, **fields}.items() if value is not ...}

    def is_deleted(self, kind: str, row: Row) -> bool:
        """Whether the row is gone."""
        return bool(self._deleted) and (kind, number_of(row)) in self._deleted

    def is_deleted_id(self, kind: str, object_id: int) -> bool:
        """Whether the row of that id is gone."""
        return (kind, object_id) in self._deleted

    def touched_ids(self, kind: str) -> set[int]:
        """Every id of which something was set or which was deleted."""
        return {object_id for told, object_id in (*self._fields, *self._deleted) if told == kind}


def number_of(row: Row) -> int:
    """The row's id, or what stands for none."""
    told = row.get("id")
    return told if isinstance(told, int) else NO_ID
