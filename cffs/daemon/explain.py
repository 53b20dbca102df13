"""The control socket's `why`: an explanation of one file, from what is known.

Nothing is asked of the service but what a lookup asks.

Owns the words of the explanation. It must not know how a path is spelt outside the mount, nor how `cffs why` prints it.
"""

from collections.abc import Mapping

import trio

from cffs.callfire.stats import ApiHealth, RateStatus
from cffs.callfire.transport import Transport
from cffs.catalog.store import Catalog
from cffs.core.errors import NotInTree, RemoteObjectMissing, UsageError
from cffs.core.settings import Settings
from cffs.core.values import RecordingState
from cffs.daemon.control import Progress
from cffs.fuse.handles import node_label
from cffs.reader.object_registry import ObjectRegistry
from cffs.reader.read_history import ReadReport
from cffs.tree.calls_in_progress import is_being_made
from cffs.tree.contents import Remote
from cffs.tree.inodes import ROOT
from cffs.tree.namespace import Description, Namespace


class Explain:
    """Explains the files of one mount."""

    def __init__(
        self,
        *,
        settings: Settings,
        namespace: Namespace,
        catalog: Catalog,
        objects: ObjectRegistry,
        transport: Transport,
    ) -> None:
        self._settings = settings
        self._namespace = namespace
        self._catalog = catalog
        self._objects = objects
        self._transport = transport

    async def why(self, arguments: Mapping[str, object], _progress: Progress) -> object:
        """Explain the file at `path`, below the mount point. Raises UsageError for a folder, and what a lookup
        raises."""
        path = arguments.get("path")
        if not isinstance(path, str):
            raise UsageError("why needs a path")
        node = ROOT
        try:
            for name in filter(None, path.split("/")):
                node = await self._namespace.lookup(node, name)
        except (NotInTree, RemoteObjectMissing) as missing:
            raise UsageError(f"there is no /{path}: {missing}") from missing
        description = self._namespace.describe(node)
        if description.is_folder:
            raise UsageError(f"/{path} is a folder; give a file")
        content = self._namespace.content(node)
        answer: dict[str, object] = {"path": path, "file": node_label(node)}
        if not isinstance(content, Remote):
            return answer | _of_rendered(description)
        return answer | self._of_remote(content, description)

    def _of_remote(self, content: Remote, description: Description) -> dict[str, object]:
        report, fact = self._objects.report(content.key), self._catalog.fact(content.key)
        now, settings = trio.current_time(), self._settings
        api = content.sources[0].api
        nbytes = description.nbytes
        if is_being_made(content):
            nbytes = self._objects.growing.last_nbytes(content.key)
        return {
            "state": content.state.value,
            "size": {
                "bytes": nbytes,
                "exact": description.is_exact,
                "from": size_from(content, description, source=fact.source if fact is not None else ""),
            },
            "validator": None if fact is None else fact.validator,
            "sources": [settings.origin().url_of(source) for source in content.sources],
            "api": {"name": str(api), "state": self._transport.health()[api].state},
            "held": {"memory_bytes": report.memory_nbytes, "disk_bytes": report.disk_nbytes},
            "open": report.is_open,
            "fetched": [
                {
                    "start": one.run.start,
                    "stop": one.run.stop,
                    "seconds_ago": round(now - one.at, 1),
                    "source": one.source,
                }
                for one in report.fetched
            ],
            "last_read_from": report.tier or None,
            "last_error": None
            if report.failure is None
            else {"text": report.failure.text, "seconds_ago": round(now - report.failure.at, 1)},
            "next": what_next(
                content,
                description,
                report,
                health=self._transport.health()[api],
                revalidate_seconds=settings.revalidate_seconds,
                rate=self._transport.rate_status(),
            ),
        }


def _of_rendered(description: Description) -> dict[str, object]:
    where = "made from what is known when it is asked for" if description.nbytes is None else "made from what is known"
    return {
        "state": None,
        "size": {"bytes": description.nbytes, "exact": description.nbytes is not None, "from": where},
        "sources": [],
        "next": "each open shows what is known then",
    }


def size_from(content: Remote, description: Description, *, source: str) -> str:
    """Where the size that stat shows came from."""
    if is_being_made(content):
        return "the service, which is asked again at most once a second"
    if description.is_exact:
        return f"an answer of {source}"
    if description.nbytes is not None:
        return "the service's own listing: a hint until the first open"
    return "no answer yet: the next stat or open asks for it"


def what_next(
    content: Remote,
    description: Description,
    report: ReadReport,
    *,
    health: ApiHealth,
    revalidate_seconds: float,
    rate: RateStatus | None,
) -> str:
    """What an open and a read of the file would do now."""
    held_nbytes = max(report.memory_nbytes, report.disk_nbytes)
    if content.state is RecordingState.ERROR:
        return "open fails with EIO: the service calls the recording broken (its .json may say why)"
    if is_being_made(content):
        return "reads go to the service and are kept nowhere until it is finished"
    if description.is_exact and held_nbytes >= (description.nbytes or 0):
        if revalidate_seconds:
            return f"open asks whether it changed, once it is {revalidate_seconds:g} s old; reading asks nothing"
        return "opening and reading it ask nothing"
    missing = "what of it is not here"
    if description.is_exact and description.nbytes is not None:
        missing = f"the {description.nbytes - held_nbytes} bytes that are not here"
    if health.state == "held":
        return f"the service asked for a pause: {missing} can be had in {health.hold_seconds:.0f} s"
    if health.state in ("offline", "auth-failed"):
        return f"the service is {health.state}: {missing} cannot be read now; it is asked again by itself"
    reads = f"reading asks {'for ' if description.is_exact else 'the service for '}{missing}"
    if rate is not None and rate.waiting:
        reads += f"; {rate.waiting} requests wait for the request rate of --rate ({rate.rate})"
    return reads
