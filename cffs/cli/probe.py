"""`cffs doctor --probe`: how the real service treats its objects.

It owns who asks: the running mount, or this process where the argument is a URL. It must not know what is asked.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click

from cffs.cli.control import ask
from cffs.cli.messages import json_text, one_line, tell
from cffs.cli.mounts import place_in_mount
from cffs.core.settings import Settings
from cffs.core.units import NS_PER_MS

_SHOWN = ("status", "range", "validator", "length", "total", "hint", "head", "redirect_host", "first_byte_ms")
#: A dozen small requests for each object, each bounded by 15 s in the daemon.
_LIMIT_SECONDS = 120.0


def run_probe(what: str, settings: Settings, *, as_json: bool) -> int:
    """Probe, and return the exit status: 0 where at least one object could be asked about. Raises Failed with one
    line."""
    findings = _by_url(what, settings) if what.startswith(("http://", "https://")) else _by_path(what)
    objects = findings.get("objects")
    found = [one for one in objects if isinstance(one, Mapping)] if isinstance(objects, list) else []
    if as_json:
        click.echo(json_text(findings, indent=2))
    else:
        for one in found:
            _print(one)
        if findings.get("length_in_bytes"):
            click.echo(f"lengthInBytes is the size of: {one_line(str(findings['length_in_bytes']))}")
        if findings.get("kept") is False:
            tell("not kept: the account is mounted; give a path in the mount to have it kept")
    return 0 if any("error" not in one and int(one.get("status") or 999) < 300 for one in found) else 1


def _by_path(what: str) -> Mapping[str, Any]:
    mount, below = place_in_mount(Path(what))
    findings = ask(mount, "probe", {"path": below}, limit_seconds=_LIMIT_SECONDS, on_progress=_progress)
    return findings if isinstance(findings, dict) else {}


def _progress(findings: object) -> None:
    if isinstance(findings, Mapping):
        tell(f"looking at {findings.get('kind')}")


def _by_url(url: str, settings: Settings) -> Mapping[str, Any]:
    settings.require_credentials()
    import trio

    return trio.run(partial(_look, url, settings))


async def _look(url: str, settings: Settings) -> Mapping[str, Any]:
    from cffs.callfire.transport import Transport
    from cffs.callfire.v1 import V1Client
    from cffs.callfire.v2 import V2Client
    from cffs.daemon.probe import look_at
    from cffs.daemon.probe_command import report_of
    from cffs.daemon.probe_targets import one_of_each, source_of, with_siblings

    async with Transport(settings.origin()) as transport:
        if url.rstrip("/") in (settings.v1_url, settings.v2_url):
            v1 = V1Client(transport) if settings.credentials.has_v1 else None
            targets = await one_of_each(v1, V2Client(transport) if settings.credentials.has_v2 else None)
        else:
            targets = list(with_siblings([source_of(url, settings)], None))
        found = []
        for target in targets:
            tell(f"looking at {target.kind}")
            found.append(await look_at(transport, target))
    return {**report_of(found), "kept": await _keep(settings, found)}


async def _keep(settings: Settings, found: Any) -> bool:
    """Store the findings in the account's catalogue, unless a mount has it open."""
    import time

    from cffs.catalog.store import Catalog
    from cffs.core.errors import UsageError
    from cffs.daemon.account_folder import taken
    from cffs.daemon.probe_command import keep

    try:
        with taken(settings, Path("(cffs doctor)")) as folders:
            opened = Catalog.opened(folders.state / "catalog.sqlite", timezone=settings.timezone)
            async with opened as catalog:
                await keep(catalog, found, now_ms=time.time_ns() // NS_PER_MS)
    except (UsageError, OSError):
        return False
    return True


def _print(one: Mapping[str, Any]) -> None:
    facts = ", ".join(f"{name} {one[name]}" for name in _SHOWN if one.get(name) is not None)
    click.echo(f"{one.get('kind', '?'):<12} {one_line(facts)}")
    for line in one.get("meaning") or ():
        click.echo(f"{'':<12} {one_line(str(line))}")
