"""The control socket's `probe`: looks at objects, keeps the findings.

Owns the findings that are kept. It must not know how an object is looked at.
"""

import json
import logging
import sqlite3
from collections.abc import Callable, Mapping

from cffs.callfire.transport import Transport
from cffs.callfire.v1 import V1Client
from cffs.callfire.v2 import V2Client
from cffs.catalog import upserts
from cffs.catalog.store import Catalog
from cffs.core.errors import UsageError
from cffs.core.settings import Settings
from cffs.core.source import Api
from cffs.daemon.control import Progress
from cffs.daemon.probe import Found, Target, capabilities, length_in_bytes, look_at, meaning
from cffs.daemon.probe_targets import one_of_each, source_of, with_siblings
from cffs.reader.dependencies import OriginProfile
from cffs.tree.contents import Remote
from cffs.tree.namespace import Namespace
from cffs.tree.nodes import FixedNode, Kind, Node

log = logging.getLogger(__name__)

_KEY = "capabilities:"


def known_capabilities(catalog: Catalog) -> dict[str, object]:
    """The findings that were kept, by API."""
    kept: dict[str, object] = {}
    for api in Api:
        row = catalog.document(f"{_KEY}{api}")
        if row is not None:
            kept[str(api)] = json.loads(row.body)
    return kept


async def keep(catalog: Catalog, found: list[Found], *, now_ms: int) -> dict[str, object]:
    """Keep what was found, kind by kind, beside what is known already; returns all of it. Always a checkpoint."""
    known = known_capabilities(catalog)
    fresh: dict[str, object] = {}
    for api, table in capabilities(found).items():
        before = known.get(str(api))
        fresh[str(api)] = {**(before if isinstance(before, dict) else {}), **table}

    def write(db: sqlite3.Connection) -> None:
        for name, merged in fresh.items():
            upserts.put_document(db, key=f"{_KEY}{name}", body=json.dumps(merged).encode(), now_ms=now_ms)

    try:
        await catalog.write(write)
    except sqlite3.Error as error:
        log.warning("findings not kept reason=%s", error)
    return known | fresh


def expected_of(kept: Mapping[str, object]) -> dict[Api, OriginProfile]:
    """The findings as the reader uses them. It knows APIs, not kinds: of an API's objects the smallest gain counts, and
    ranges count as ignored only where all of them ignore ranges."""
    expected = {}
    for api in Api:
        table = kept.get(str(api))
        kinds = [one for one in table.values() if isinstance(one, Mapping)] if isinstance(table, Mapping) else []
        latencies = [found for one in kinds if isinstance(found := one.get("first_byte_ms"), int | float)]
        gains = [found for one in kinds if isinstance(found := one.get("parallel_gain"), int | float)]
        ranges = [found for one in kinds if (found := one.get("range")) is not None]
        expected[api] = OriginProfile(
            latency_seconds=min(latencies) / 1000 if latencies else None,
            parallel_gain=min(gains, default=None),
            ignores_ranges=bool(ranges) and all(found == "ignored" for found in ranges),
        )
    return expected


def report_of(found: list[Found]) -> dict[str, object]:
    """What the command prints: what was found of each object and what that means, and what lengthInBytes measures."""
    return {
        "objects": [{**one.plain(), "meaning": list(meaning(one))} for one in found],
        "length_in_bytes": length_in_bytes(found),
    }


class ProbeCommand:
    """Runs probes for one mount. `kept` is shown in status.json; `expect` hands the findings to the reader."""

    def __init__(
        self,
        *,
        settings: Settings,
        transport: Transport,
        catalog: Catalog,
        namespace: Namespace,
        kept: dict[str, object],
        wall_ms: Callable[[], int],
        expect: Callable[[Api, OriginProfile], None],
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._catalog = catalog
        self._namespace = namespace
        self._kept = kept
        self._wall_ms = wall_ms
        self._expect = expect
        self._learned(known_capabilities(catalog))

    def _learned(self, found: Mapping[str, object]) -> None:
        self._kept.update(found)
        for api, expected in expected_of(found).items():
            self._expect(api, expected)

    async def probe(self, arguments: Mapping[str, object], send_progress: Progress) -> object:
        """Probe `path` (below the mount point; "" for one object of each kind) or `url`. Each object is reported before
        it is looked at."""
        path, url = arguments.get("path"), arguments.get("url")
        if isinstance(url, str):
            targets = list(with_siblings([source_of(url, self._settings)], None))
        elif isinstance(path, str):
            targets = await self._targets(path)
        else:
            raise UsageError("probe needs a path or a url")
        found = []
        for target in targets:
            await send_progress({"kind": target.kind, "of": len(targets)})
            found.append(await look_at(self._transport, target))
        self._learned(await keep(self._catalog, found, now_ms=self._wall_ms()))
        return report_of(found)

    async def _targets(self, path: str) -> list[Target]:
        node: Node = FixedNode(Kind.ROOT)
        for name in filter(None, path.split("/")):
            node = await self._namespace.lookup(node, name)
        if self._namespace.describe(node).is_folder:
            known = self._settings.credentials
            v1 = V1Client(self._transport) if known.has_v1 else None
            return await one_of_each(v1, V2Client(self._transport) if known.has_v2 else None)
        content = self._namespace.content(node)
        if not isinstance(content, Remote):
            raise UsageError("that file is rendered by cffs itself; give a recording or a media file")
        return list(with_siblings(content.sources, content.hint_nbytes))
