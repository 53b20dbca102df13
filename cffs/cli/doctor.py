"""`cffs doctor`: a line for each check with its remedy.

With `--probe` it also shows how the real service treats its objects. It must not know how anything is checked.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import click

from cffs.cli.checks import COLOURS, Check, State, fail, has_failed, ok
from cffs.cli.messages import Failed, json_text
from cffs.cli.options import given_options, load, settings_options
from cffs.cli.paths import find_user_paths
from cffs.core.errors import UsageError
from cffs.core.settings import Settings


@click.command(short_help="Check this machine and the service; say how to mend.")
@click.option("--probe", metavar="PATH-OR-URL", help="Ask the origin about these objects too (see below).")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--all", "of_everyone", is_flag=True, help="Look at the mounts of other users too.")
@settings_options
def doctor(probe: str | None, as_json: bool, of_everyone: bool, **parameters: Any) -> int:
    """Check FUSE, limits, cache, network, both APIs and the credentials. Exits 1 where a mount would not work.

    --probe takes a recording in a mount, a mount point (one object of each kind), or a URL.
    """
    options = given_options(parameters)
    settings, configuration = _settings(options)
    if probe is not None:
        if settings is None:
            raise Failed(configuration.found)
        from cffs.cli.probe import run_probe

        return run_probe(probe, settings, as_json=as_json)
    checks = []
    for check in _checks(settings, configuration, options, of_everyone=of_everyone):
        checks.append(check)
        if not as_json:
            _print(check)
    if as_json:
        click.echo(json_text([check.plain() for check in checks], indent=2))
    else:
        click.echo(_verdict(checks))
    return 1 if has_failed(checks) else 0


def _checks(
    settings: Settings | None, configuration: Check, options: dict[str, object], *, of_everyone: bool
) -> Iterator[Check]:
    from cffs.cli.checks_machine import machine_checks
    from cffs.cli.checks_service import service_checks
    from cffs.cli.checks_shared import shared_checks

    cache_dir = settings.cache_dir if settings else find_user_paths(dict(os.environ), uid=None, config=None).cache_dir
    given = options.get("cache_dir")
    yield from chain(
        [configuration],
        machine_checks(
            settings, Path(str(given)) if settings is None and given else cache_dir, of_everyone=of_everyone
        ),
        service_checks(settings) if settings is not None else (),
        shared_checks(settings) if settings is not None else (),
    )


def _settings(options: dict[str, object]) -> tuple[Settings | None, Check]:
    """The settings, None where the configuration is broken, and the check of the configuration."""
    try:
        settings = load(options).settings
    except (Failed, UsageError) as error:
        found, _, mend = str(error).partition("; ")
        return None, fail("configuration", found, mend.removeprefix("run: ") or "cffs config show")
    path = settings.config
    there = path is not None and path.exists()
    return settings, ok("configuration", f"{path}{'' if there else ' (absent: defaults and environment)'}")


def _print(check: Check) -> None:
    state = f"{check.state.value:<4}"
    # click leaves colours out where stdout is no terminal; NO_COLOR is how a user refuses them everywhere
    colour = "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    click.echo(f"{click.style(state, fg=COLOURS[check.state]) if colour else state}  {check.line()}")
    sys.stdout.flush()


def _verdict(checks: Iterable[Check]) -> str:
    failed = [check.name for check in checks if check.state is State.FAIL]
    return f"to be mended before a mount works: {', '.join(failed)}" if failed else "a mount works here"
