"""`cffs standin`: the stand-in alone, until a signal ends it.

This module owns what is printed and in which order.
It must not know the command line's grammar.
`cli` calls `run_standin`.
"""

import signal
from datetime import UTC, datetime
from typing import Final, TextIO

import trio

from cffs.standin.office_account import friendly_account
from cffs.standin.server import Standin

DEFAULT_CALLS: Final = 60
DEFAULT_SEED: Final = 1


def run_standin(
    *, port: int = 0, calls: int = DEFAULT_CALLS, seed: int = DEFAULT_SEED, seed_only: bool = False, stdout: TextIO
) -> int:
    """Serves the friendly account of today until SIGINT or SIGTERM; the exit status, 0.

    Prints `ready URL` first, then one line per credential as `NAME=value`, then `v1 URL` and `v2 URL`, and flushes.
    Raises OSError when the port is taken.
    """
    account = friendly_account(seed=seed, calls=calls, today=datetime.now(UTC).astimezone().date())
    standin = Standin(account, port=port, seed_only=seed_only)
    trio.run(_serve, standin, stdout)
    return 0


async def _serve(standin: Standin, stdout: TextIO) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with standin:
            stdout.write("\n".join(ready_lines(standin)) + "\n")
            stdout.flush()
            async for _ in signals:
                return


def ready_lines(standin: Standin) -> list[str]:
    """What a caller needs to use a running stand-in."""
    told = standin.credentials
    return [
        f"ready {standin.base_url}",
        f"CFFS_APIKEY={told.apikey}",
        f"CFFS_LOGIN={told.login}",
        f"CFFS_PASSWORD={told.password}",
        f"CFFS_ACCOUNT_LOGIN={told.account_login}",
        f"CFFS_ACCOUNT_PASSWORD={told.account_password}",
        f"v1 {standin.v1_url}",
        f"v2 {standin.v2_url}",
    ]
