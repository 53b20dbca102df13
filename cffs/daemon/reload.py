"""Reading the configuration again while the mount lives.

The log's level, form and file change at once (the file is opened again, so rotated logs work), and so do the
credentials of the same account. Everything else decides what was built at the start, and needs a remount.

Owns the settings of now. It must not know how settings are found: it runs the command that finds them, and reads the
settings from its output.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import trio

from cffs.core.errors import CffsError, UsageError
from cffs.core.settings import Settings
from cffs.daemon import logs
from cffs.daemon.account_folder import account_name
from cffs.daemon.redaction import Redactor

log = logging.getLogger(__name__)

_LOG_FIELDS = ("log_level", "log_format", "log_file")
#: The command imports no network code and reads small files.
_LIMIT_SECONDS = 30.0
#: Not named in a message: these are no options, or the process's own.
_NOT_OPTIONS = frozenset({"state_dir", "runtime_dir", "foreground", "config"})


@dataclass(frozen=True, slots=True)
class Reread:
    """How the settings are found again: a command, and what it reads from stdin (which may hold secrets)."""

    command: tuple[str, ...]
    task: str

    def __repr__(self) -> str:
        return f"Reread({self.command!r})"


class LiveSettings:
    """The settings of now, and the way to read them again."""

    def __init__(
        self, settings: Settings, *, reread: Reread | None, use_credentials: Callable[[Settings], None]
    ) -> None:
        self.now = settings
        self._reread = reread
        self._use_credentials = use_credentials
        self._one_at_a_time = trio.Lock()

    async def reload(self) -> dict[str, list[str]]:
        """Read the settings again and take them over; returns the names that changed, and those that need a remount.

        Always a checkpoint; cancelled, nothing or all of it is taken over. Raises UsageError with one line, and then
        the mount goes on as it was.
        """
        async with self._one_at_a_time:
            return self._take_over(await self._read())

    async def _read(self) -> Settings:
        if self._reread is None:
            raise UsageError("this mount was not made from a configuration; remount it")
        try:
            with trio.fail_after(_LIMIT_SECONDS):
                done = await trio.run_process(
                    self._reread.command, stdin=self._reread.task.encode(), capture_stdout=True, check=False
                )
            answer = json.loads(done.stdout)
            if "error" in answer:
                raise UsageError(str(answer["error"]))
            return replace(Settings.from_plain(answer["settings"]), foreground=self.now.foreground)
        except (OSError, ValueError, TypeError, KeyError, trio.TooSlowError) as error:
            raise UsageError(f"the configuration cannot be read again ({type(error).__name__})") from None

    def _take_over(self, new: Settings) -> dict[str, list[str]]:
        old = self.now
        differing = [item.name for item in fields(Settings) if getattr(old, item.name) != getattr(new, item.name)]
        changed = [name for name in differing if name in _LOG_FIELDS]
        later = [name for name in differing if name not in (*_LOG_FIELDS, "credentials", *_NOT_OPTIONS)]
        if "credentials" in differing:
            (changed if _same_account(old, new) else later).append("credentials")
        taken = {name: getattr(new, name) for name in changed}
        merged = replace(old, **taken)
        # the log's filter must know the new secrets before they are used; requests may still carry the old ones
        logs.configure(merged, redactor=Redactor(merged.credentials, old.credentials))
        self.now = merged
        if "credentials" in changed:
            self._use_credentials(merged)
        log.info("configuration read again changed=%s", ",".join(changed) or "nothing")
        if later:
            log.warning("configuration needs a remount settings=%s", ",".join(later))
        return {"changed": changed, "needs_remount": later}


def _same_account(old: Settings, new: Settings) -> bool:
    """True where the credentials are of the same account: caches belong to it, and the tree was built for its APIs."""
    before, after = old.credentials, new.credentials
    kinds = ((c.has_v1, c.has_v2, c.has_account) for c in (before, after))
    # v1's key only proves where v2's login names the account; any key serves for the comparison
    return len(set(kinds)) == 1 and account_name(old, b"-") == account_name(new, b"-")


async def reload_and_log(live: LiveSettings) -> None:
    """Reload for a signal: only the log shows an error."""
    try:
        await live.reload()
    except CffsError as error:
        log.warning("configuration not taken over reason=%s", error)
