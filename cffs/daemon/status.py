"""The mount's own files: status.json, metrics, inflight.json, config.toml.

See `cffs/docs/semantics.md#own-files`.

Owns their form. It must not wait for anything: every file is readable while the origin hangs.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import trio

from cffs import __version__
from cffs.cache.disk import DiskCache
from cffs.cache.memory import MemoryCache
from cffs.callfire.transport import Transport
from cffs.catalog.store import Catalog
from cffs.core.one_line import visible_json
from cffs.core.server_url import parse_server_url
from cffs.core.settings import Settings
from cffs.core.settings_options import OPTIONS, OptionKind
from cffs.core.source import Api
from cffs.core.toml_text import quoted, shown
from cffs.core.units import NS_PER_SECOND
from cffs.daemon.background import NurseryBackground
from cffs.fuse.guard import CallTable
from cffs.fuse.handles import HandleTable
from cffs.reader.object_registry import ObjectRegistry
from cffs.tree.nodes import Kind as NodeKind

#: The states of an API from best to worst, as status.json spells them; a held API is degraded.
_STATES = ("online", "degraded", "offline", "auth-failed")
#: The subjects of calls for the mount's own files begin with it.
_OWN = NodeKind.OWN.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The parts of a running mount whose state its files show."""

    settings: Settings
    mountpoint: Path
    mounted_at: float
    transport: Transport
    cache: MemoryCache
    disk: DiskCache
    objects: ObjectRegistry
    catalog: Catalog
    handles: HandleTable
    calls: CallTable
    background: NurseryBackground
    #: What `cffs doctor --probe` found out about each API.
    capabilities: dict[str, object] = field(default_factory=dict)
    #: Each returns further fields for the top of status.json.
    reports: tuple[Callable[[], Mapping[str, object]], ...] = ()

    def files(self) -> Mapping[str, Callable[[], bytes]]:
        """How each file is rendered, by its name."""
        return {
            "status.json": lambda: _json(self.status()),
            "metrics": lambda: metrics(self.status()).encode(),
            "inflight.json": lambda: _json(self.inflight()),
        }

    def status(self) -> dict[str, object]:
        """What status.json holds."""
        counters, memory = self.objects.counters, self.cache.counters
        return {
            "version": __version__,
            "pid": os.getpid(),
            "mountpoint": str(self.mountpoint),
            "uptime_seconds": round(trio.current_time() - self.mounted_at, 3),
            "origin": self._origin(),
            "reads": {"count": counters.reads, "bytes_delivered": counters.bytes_delivered},
            "cache": {
                "memory_bytes": self.cache.used_nbytes,
                "memory_limit_bytes": self.cache.limit_nbytes,
                "disk_bytes": self.disk.used_nbytes,
                "disk_limit_bytes": self.disk.limit_nbytes,
                "hits_memory": memory.hits,
                "hits_disk": self.objects.disk_hits,
                "misses": memory.misses - self.objects.disk_hits,
                "corrupt_blocks": self.disk.corrupt_blocks,
            },
            "prefetch": {
                "started": counters.prefetch_started,
                "used_bytes": memory.prefetch_used_nbytes,
                "wasted_bytes": memory.prefetch_wasted_nbytes,
            },
            **self._rate(),
            "catalog": self.catalog.counts(),
            "open_files": self.handles.files(),
            "bugs": self.calls.bugs + self.background.bugs,
            "last_errors": self._last_errors(),
            **{name: value for report in self.reports for name, value in report().items()},
        }

    def _origin(self) -> dict[str, object]:
        stats, health = self.transport.stats, self.transport.health()
        used = {
            Api.V1: self.settings.credentials.has_v1,
            Api.V2: self.settings.credentials.has_v2,
        }
        offline = "offline" if self.settings.offline else None
        states = {api: offline or _public_state(health[api].state) for api in Api if used[api]}
        return {
            "state": max(states.values(), key=_STATES.index, default="online"),
            **{str(api): states.get(api, "not configured") for api in Api},
            "requests": sum(stats.requests.values()),
            "bytes_fetched": stats.bytes_fetched,
            "retries": stats.retries,
            "errors": dict(stats.errors),
            "held_until": max((health[api].hold_seconds for api in Api), default=0.0),
            "capabilities": self.capabilities,
        }

    def _rate(self) -> dict[str, object]:
        """The field `rate`, where there is one."""
        found = self.transport.rate_status()
        if found is None:
            return {}
        return {
            "rate": {
                "limit": str(found.rate),
                "requests": found.rate.requests,
                "span_seconds": found.rate.span_seconds,
                "sent": found.sent,
                "waiting": found.waiting,
                "waited_seconds": round(found.waited_seconds, 3),
            }
        }

    def _last_errors(self) -> list[str]:
        lines = self.transport.stats.last_errors
        return [
            f"{datetime.fromtimestamp(line.at_ns // NS_PER_SECOND, UTC).isoformat()} {line.line}"
            + (f" ({line.times} times)" if line.times > 1 else "")
            for line in lines
        ]

    def inflight(self) -> list[dict[str, object]]:
        """Every call of the kernel that waits now, oldest first, except those for the mount's own files, which never
        wait."""
        now = trio.current_time()
        return [
            {
                "operation": call.operation,
                "subject": call.subject,
                "age_seconds": round(now - call.started_at, 3),
                "waits_for": call.waits_for.text(),
            }
            for call in self.calls.waiting()
            if not call.subject.startswith(_OWN)
        ]


def _public_state(state: str) -> str:
    return "degraded" if state == "held" else state


def _json(document: object) -> bytes:
    return (visible_json(document, indent=2, is_ascii=True) + "\n").encode()


def metrics(status: Mapping[str, object]) -> str:
    """The numbers of status.json in the text format of Prometheus, one line each: `cffs_cache_memory_bytes 4096`."""
    lines: list[str] = []

    def walk(prefix: str, value: object) -> None:
        if isinstance(value, Mapping):
            for name, inner in value.items():
                walk(f"{prefix}_{name}", inner)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            lines.append(f"{prefix} {value}")

    for name, value in status.items():
        if name == "origin" and isinstance(value, Mapping):
            counted = dict(value)
            errors = counted.pop("errors", {})
            walk("cffs_origin", counted)
            lines.extend(f'cffs_origin_errors{{kind="{kind}"}} {count}' for kind, count in errors.items())
            lines.append(f'cffs_origin_state{{state="{value["state"]}"}} 1')
        elif name != "pid":
            walk(f"cffs_{name}", value)
    return "\n".join(lines) + "\n"


def config_toml(settings: Settings) -> str:
    """The effective settings as a config file would hold them; no secret, not even that there is one."""
    lines = [f"# the effective settings of this mount, cffs {__version__}; credentials are never shown"]
    for option in OPTIONS:
        value = getattr(settings, option.field)
        if value is None:
            continue
        if option.kind is OptionKind.FORMATS:
            value = ",".join(value) or "auto"
        elif option.kind is OptionKind.UMASK:
            value = f"{value:03o}"
        elif option.kind is OptionKind.SERVER:
            value = parse_server_url(str(value)).shown
        lines.append(f"{option.name} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return quoted(shown(str(value)))
