"""`cffs config show`: the settings in force and where each came from.

It must not show a secret, not even its length.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from cffs.cli.groups import SuggestingGroup
from cffs.cli.messages import json_text
from cffs.cli.options import given_options, load, settings_options
from cffs.cli.unit import unit
from cffs.core.one_line import visible
from cffs.core.server_url import parse_server_url
from cffs.core.settings_options import CREDENTIALS, OPTIONS, OptionKind
from cffs.core.settings_resolve import Resolved


@click.group(cls=SuggestingGroup, short_help="Show the effective settings.", invoke_without_command=True)
@click.pass_context
def config(context: click.Context) -> None:
    """Show the settings in force, or print a systemd unit."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(2)


@config.command(short_help="The effective settings, and where each came from.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@settings_options
def show(as_json: bool, **parameters: Any) -> int:
    """Show the settings in force, and where each came from."""
    rows = list(settings_rows(load(given_options(parameters))))
    if as_json:
        click.echo(json_text({name: {"value": value, "source": source} for name, value, source in rows}, indent=2))
        return 0
    widths = [max(len(_shown(row[column])) for row in rows) for column in range(2)]
    for name, value, source in rows:
        click.echo(f"{name:<{widths[0]}}  {_shown(value):<{widths[1]}}  {source}")
    return 0


config.add_command(unit)


def settings_rows(resolved: Resolved) -> Iterator[tuple[str, object, str]]:
    """Name, value as JSON can carry it, and source, of each option and credential."""
    for option in OPTIONS:
        value = getattr(resolved.settings, option.field)
        if option.kind is OptionKind.FORMATS:
            value = ",".join(value) or "auto"
        elif option.kind is OptionKind.UMASK:
            value = f"{value:03o}"
        elif option.kind is OptionKind.SERVER and value is not None:
            value = parse_server_url(value).shown
        yield option.name, str(value) if isinstance(value, Path) else value, resolved.sources[option.name]
    for name in CREDENTIALS:
        secret = getattr(resolved.settings.credentials, name)
        yield name, "***" if secret else None, resolved.sources[name]


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else visible(str(value))
