"""The stand-in in a thread of its own, for synchronous tests and the demo.

It owns that thread and its trio loop. It must not know what is served.
"""

import threading
from types import TracebackType
from typing import Any, Final, Self

import trio

from cffs.standin.account import Account
from cffs.standin.answers import Credentials
from cffs.standin.faults import Faults
from cffs.standin.request_log import RequestLog, RequestRecord
from cffs.standin.server import Link, Standin

START_SECONDS: Final = 10.0
STOP_SECONDS: Final = 5.0


class StandinThread:
    """A `Standin`, with its arguments, that answers from the constructor's return until `close`.

    The constructor raises what starting raised (OSError for a taken port).
    """

    def __init__(self, account: Account | None = None, **settings: Any) -> None:
        self.standin = Standin(account, **settings)
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._scope: trio.CancelScope | None = None
        self._thread = threading.Thread(target=self._run, name="cffs-standin", daemon=True)
        self._thread.start()
        if not self._ready.wait(START_SECONDS):
            raise RuntimeError("the stand-in did not start")
        if self._failure is not None:
            raise self._failure

    @property
    def base_url(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return self.standin.base_url

    @property
    def v1_url(self) -> str:
        """The value for `--v1-url`."""
        return self.standin.v1_url

    @property
    def v2_url(self) -> str:
        """The value for `--v2-url`."""
        return self.standin.v2_url

    @property
    def account(self) -> Account:
        """The account served; may be changed at any time."""
        return self.standin.account

    @property
    def credentials(self) -> Credentials:
        """The credentials that are accepted."""
        return self.standin.credentials

    @property
    def faults(self) -> Faults:
        """The rules of faults in force."""
        return self.standin.faults

    @property
    def link(self) -> Link:
        """Latency and bandwidth; may be changed at any time."""
        return self.standin.link

    @property
    def log(self) -> RequestLog:
        """The request log."""
        return self.standin.log

    @property
    def requests(self) -> list[RequestRecord]:
        """All requests so far, oldest first."""
        return self.standin.requests

    def close(self) -> None:
        """End the server and its connections; may be called again."""
        if self._token is not None and self._scope is not None and self._thread.is_alive():
            try:
                self._token.run_sync_soon(self._scope.cancel)
            except trio.RunFinishedError:
                pass
        self._thread.join(STOP_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _exc: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        try:
            trio.run(self._main)
        except OSError as exc:
            self._failure = exc
        finally:
            self._ready.set()

    async def _main(self) -> None:
        with trio.CancelScope() as self._scope:
            self._token = trio.lowlevel.current_trio_token()
            async with self.standin:
                self._ready.set()
                await trio.sleep_forever()
