"""`cffs why`: where a file's bytes came from, in ten lines.

It owns the lines. It must not know how the facts are found: the mount reports them.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from cffs.cli.control import ask
from cffs.cli.format_status import duration, size
from cffs.cli.messages import Failed, json_text, one_line
from cffs.cli.mounts import place_in_mount

#: A lookup of an unknown name waits this long for the service, and the answer must still arrive.
_LIMIT_SECONDS = 20.0
#: Ranges shown; --json has all that are remembered.
_RANGES = 4


@click.command(short_help="Show where a file comes from and what is here.")
@click.argument("path", type=Path)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def why(path: Path, as_json: bool) -> int:
    """Say where the size of PATH came from, what of it is here, what was fetched when, who served the last read, the
    service's last error in its words, and what happens next. Works for a file that was never opened."""
    mount, below = place_in_mount(path)
    facts = ask(mount, "why", {"path": below}, limit_seconds=_LIMIT_SECONDS)
    if not isinstance(facts, dict):
        raise Failed("the daemon did not answer; remount with this version")
    if as_json:
        click.echo(json_text(facts, indent=2))
    else:
        for line in lines_of(facts):
            click.echo(one_line(line))
    return 0


def lines_of(facts: Mapping[str, Any]) -> Iterator[str]:
    """The lines, one fact each; facts that say nothing are left out."""
    state = f", state {facts['state']}" if facts.get("state") else ""
    yield f"{facts.get('path')}: {facts.get('file')}{state}"
    found = facts.get("size") or {}
    nbytes = found.get("bytes")
    shown = "unknown" if nbytes is None else f"{nbytes} bytes ({'exact' if found.get('exact') else 'not exact'})"
    yield f"size      {shown}, from {found.get('from')}"
    if sources := facts.get("sources"):
        yield f"service   {', else '.join(sources)}"
    if api := facts.get("api"):
        yield f"api       {api.get('name')} is {api.get('state')}"
    if "held" in facts:
        held = facts["held"]
        yield f"held      {size(held['memory_bytes'])} in memory, {size(held['disk_bytes'])} on disk{_open(facts)}"
        ranges = list(facts.get("fetched") or ())
        yield f"fetched   {', '.join(map(_range, ranges[-_RANGES:])) if ranges else 'nothing since the mount began'}"
        yield f"last read {_served(facts.get('last_read_from'))}"
        error = facts.get("last_error")
        yield f"error     {error['text']} ({duration(error['seconds_ago'])} ago)" if error else "error     none"
    yield f"next      {facts.get('next')}"


def _open(facts: Mapping[str, Any]) -> str:
    return "; open now" if facts.get("open") else ""


def _range(one: Mapping[str, Any]) -> str:
    return f"{one['start']}-{one['stop']} {duration(one['seconds_ago'])} ago"


def _served(tier: str | None) -> str:
    if tier is None:
        return "none of cffs since the mount began (the kernel may have answered from its own cache)"
    return "by the service" if tier == "service" else f"from {tier}"
