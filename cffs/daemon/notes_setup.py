"""The notes of a mount with `--notes DIR`.

It owns where they lie: in the account's folder in DIR, their index in the state folder. It must not know what notes
are for.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from cffs.core.background import Background
from cffs.core.errors import CffsError, UsageError
from cffs.core.settings import Settings
from cffs.daemon.account_folder import located_in
from cffs.notes.account_notes import AccountNotes

#: The end of a mount waits so long for the index; the next mount goes on with it.
_CLOSE_SECONDS = 1.0


@asynccontextmanager
async def opened_notes(
    settings: Settings, state: Path, background: Background, *, wall_ms: Callable[[], int]
) -> AsyncIterator[AccountNotes | None]:
    """The notes for the length of the block; None without `--notes`. Raises UsageError, one line."""
    if settings.notes is None:
        yield None
        return
    try:
        notes = await trio.to_thread.run_sync(_opened, settings, settings.notes, state, wall_ms())
    except CffsError as problem:
        raise UsageError(f"--notes {settings.notes}: {problem}") from problem
    notes.start(background)
    try:
        yield notes
    finally:
        with trio.move_on_after(_CLOSE_SECONDS, shield=True):
            await notes.close()


def _opened(settings: Settings, folder: Path, state: Path, wall_ms: int) -> AccountNotes:
    return AccountNotes(located_in(settings, folder), state / "words.sqlite", wall_ms=wall_ms)
