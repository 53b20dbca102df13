"""The stand-in as a program of its own, until a signal ends it.

It owns what is printed, and in which order. It must not know the command line's options.
"""

import signal
from datetime import UTC, datetime
from typing import Final, TextIO

import trio

from cffs.standin.office_account import office_account
from cffs.standin.server import Standin

DEFAULT_CALLS: Final = 60
DEFAULT_SEED: Final = 1


def run_standin(
    *, port: int = 0, calls: int = DEFAULT_CALLS, seed: int = DEFAULT_SEED, seed_only: bool = False, stdout: TextIO
) -> int:
    """Serve the office account of today until SIGINT or SIGTERM; returns the exit status, 0.

    Prints `ready URL` first, then a line for each credential as `NAME=value`, then `v1 URL` and `v2 URL`, and flushes.
    Raises OSError where the port is taken.
    """
    account = office_account(seed=seed, calls=calls, today=datetime.now(UTC).astimezone().date())
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
    """The lines with everything that a client of the running stand-in needs."""
    given = standin.credentials
    return [
        f"ready {standin.base_url}",
        f"CFFS_APIKEY={given.apikey}",
        f"CFFS_LOGIN={given.login}",
        f"CFFS_PASSWORD={given.password}",
        f"CFFS_ACCOUNT_LOGIN={given.account_login}",
        f"CFFS_ACCOUNT_PASSWORD={given.account_password}",
        f"v1 {standin.v1_url}",
        f"v2 {standin.v2_url}",
    ]
