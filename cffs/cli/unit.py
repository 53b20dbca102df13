"""`cffs config unit`: a systemd unit with the path of this installation.

It must not install anything.
"""

import shutil
import sys
from importlib.resources import files
from pathlib import Path

import click

from cffs.cli.messages import Failed, tell
from cffs.cli.root_owned import INSTALL_FOR_THE_MACHINE, weakness_of

_PLACEHOLDER = "/usr/bin/env cffs"
_NAME = "cffs@.service"
_INSTALL = {
    "user": "put it into ~/.config/systemd/user/cffs@.service, then: systemctl --user enable --now cffs@default",
    "system": "put it into /etc/systemd/system/cffs@.service, then: systemctl enable --now cffs@PROFILE",
}


@click.command(short_help="Print a systemd unit.")
@click.argument("kind", type=click.Choice(list(_INSTALL)))
def unit(kind: str) -> int:
    """Print the systemd unit for a user's own mounts, or for the machine's.

    The machine's is run by root: it is not printed where users could change this installation.
    """
    command = _command()
    if kind == "system" and command is not None and (why := weakness_of(command)) is not None:
        raise Failed(f"root would run {command}, but {why}; install cffs for the machine: {INSTALL_FOR_THE_MACHINE}")
    click.echo(unit_text(kind, command=command), nl=False)
    tell(_INSTALL[kind])
    return 0


def unit_text(kind: str, *, command: Path | None) -> str:
    """The unit as shipped, or with this command in it."""
    text = (files("cffs.cli.units") / kind / _NAME).read_text(encoding="utf-8")
    return text if command is None else text.replace(_PLACEHOLDER, _quoted(str(command)))


def _command() -> Path | None:
    """The installed command; None in a checkout."""
    beside = Path(sys.executable).with_name("cffs")
    found = str(beside) if beside.exists() else shutil.which("cffs")
    return Path(found) if found else None


def _quoted(path: str) -> str:
    """The path, quoted as systemd reads it; % begins its specifiers."""
    text = path.replace("%", "%%")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' if any(c in text for c in " \"\\'") else text
