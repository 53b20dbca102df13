"""The thread of a process that runs trio, and the trees that it holds open.

There is one per process, a daemon thread, started by the first call. Calls of other threads are handed to it and wait.
A forked child has no such thread: it starts its own at its first call. At the end of the interpreter the thread is
ended, and what it held is closed.

Owns thread and trees. It must not know what is asked of a tree.
"""

import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from multiprocessing import util
from typing import TypeVar, TypeVarTuple

import trio

from cffs.core.errors import LocalShortage, OriginUnreachable, UsageError
from cffs.fsspec_plugin.private_folder import process_folder
from cffs.fsspec_plugin.storage_options import StorageOptions
from cffs.fsspec_plugin.tree_assembly import opened_tree
from cffs.fsspec_plugin.unmounted_tree import UnmountedTree

Answer = TypeVar("Answer")
Arguments = TypeVarTuple("Arguments")

#: How long the end of the interpreter waits for the thread; closing takes milliseconds.
END_SECONDS = 2.0


class TreeLoop:
    """The thread. Made by `current_loop` alone."""

    def __init__(self) -> None:
        """Raises LocalShortage where this machine cannot start one."""
        self._trees: dict[StorageOptions, UnmountedTree] = {}
        self._started = threading.Event()
        self._problem: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="cffs", daemon=True)
        self._thread.start()
        self._started.wait()
        if self._problem is not None:
            raise LocalShortage(f"the loop cannot be started: {self._problem.strerror}") from self._problem

    @property
    def is_alive(self) -> bool:
        """False in a forked child, and once the thread has ended."""
        return self._thread.is_alive()

    def run(self, function: Callable[[*Arguments], Awaitable[Answer]], *arguments: *Arguments) -> Answer:
        """Run the function in the loop and wait for its end. Raises what it raises.

        A caller that is interrupted leaves it running, until its deadline at the latest. Must not be used in the loop
        itself.
        """
        try:
            return trio.from_thread.run(function, *arguments, trio_token=self._token)
        except (trio.RunFinishedError, trio.Cancelled) as ended:
            raise OriginUnreachable("the process is ending") from ended

    def run_soon(self, function: Callable[[], object]) -> None:
        """Have the loop call the function, some time; not where it has ended. Allowed everywhere, in a finalizer
        too."""
        try:
            self._token.run_sync_soon(function)
        except trio.RunFinishedError:
            return

    def tree(self, options: StorageOptions) -> UnmountedTree:
        """The tree of these options, opened where it is not open yet. Raises ValueError, one line."""
        tree = self._trees.get(options)
        return self.run(self._opened, options) if tree is None else tree

    def end(self) -> None:
        """End the thread, and wait for that a little."""
        self.run_soon(self._ending.set)
        self._thread.join(END_SECONDS)

    def _run(self) -> None:
        try:
            trio.run(self._main)
        except OSError as problem:  # no descriptor is left
            self._problem = problem
        finally:
            self._started.set()

    async def _main(self) -> None:
        async with trio.open_nursery() as self._nursery:
            self._token = trio.lowlevel.current_trio_token()
            self._ending, self._opening = trio.Event(), trio.Lock()
            self._started.set()
            await self._ending.wait()
            self._nursery.cancel_scope.cancel()

    async def _opened(self, options: StorageOptions) -> UnmountedTree:
        async with self._opening:
            if options not in self._trees:
                self._trees[options] = await self._nursery.start(self._hold, options)
            return self._trees[options]

    async def _hold(self, options: StorageOptions, task_status: trio.TaskStatus[UnmountedTree]) -> None:
        try:
            settings = await trio.to_thread.run_sync(options.settings)
            with process_folder(options.folder_parent(settings)) as folder:
                async with opened_tree(settings, folder, reread=options.settings) as tree:
                    task_status.started(tree)
                    await trio.sleep_forever()
        except UsageError as error:
            raise ValueError(str(error)) from error
        except ExceptionGroup as group:  # what is raised within one of the tree's nurseries
            refused = group.subgroup(UsageError)
            if refused is None:
                raise
            raise ValueError(str(next(_leaves(refused)))) from group


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """The exceptions of a group and of the groups in it."""
    for one in group.exceptions:
        yield from _leaves(one) if isinstance(one, BaseExceptionGroup) else (one,)


_lock = threading.Lock()
_loop: TreeLoop | None = None
#: Loops of a parent process. Its connections to the catalogue's file must not be closed by a child.
_of_parents: list[TreeLoop] = []


def current_loop() -> TreeLoop:
    """The loop of this process. Raises LocalShortage where there is none and none can be started."""
    global _loop
    with _lock:
        if _loop is None or not _loop.is_alive:
            _loop = TreeLoop()
            # not atexit, which a forked worker of multiprocessing never comes to
            util.Finalize(None, _loop.end, exitpriority=0)
        return _loop


def _forked() -> None:
    global _lock, _loop
    _lock = threading.Lock()
    if _loop is not None:
        _of_parents.append(_loop)
        _loop = None


os.register_at_fork(after_in_child=_forked)
