"""Resolution of the settings for a running daemon, in a process of its own.

It owns the recipe: a command and its input with which a daemon finds its settings again on SIGHUP, by the layers that
it was started with. The result, secrets included, is JSON on a pipe between two processes of one user. It must not know
anything else of daemons.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from cffs.cli.messages import Failed
from cffs.cli.options import load
from cffs.cli.paths import current_folder
from cffs.core.errors import CffsError
from cffs.core.settings import Settings
from cffs.daemon.hardening import harden
from cffs.daemon.user import account_of

#: Variables that settings depend on; HOME and the XDG folders decide where the config file is.
_KEPT = ("CFFS_", "XDG_")


def recipe(options: Mapping[str, object], settings: Settings) -> dict[str, object]:
    """The command and its input, for the daemon. Call it before the CFFS_ variables are removed."""
    environment = {name: value for name, value in os.environ.items() if name.startswith(_KEPT) or name == "HOME"}
    if settings.uid != os.geteuid() == 0:
        # the daemon will be that user, whose home alone decides where the folders are
        environment = {name: value for name, value in environment.items() if not name.startswith("XDG_")}
        environment["HOME"] = str(account_of(settings.uid)[1])
    task = {
        "options": {**options, "config": str(settings.config)} if settings.config else dict(options),
        "environment": environment,
        "working_folder": str(current_folder() or "/"),  # without one, no path is relative
        "must_exist": "config" in options,
    }
    return {"command": [sys.executable, "-P", "-m", "cffs.cli.reload_settings"], "task": json.dumps(task)}


def main() -> int:
    """Print one JSON object, with `settings` or `error`."""
    harden(debug=False)
    task = json.load(sys.stdin)
    for name in [name for name in os.environ if name.startswith(_KEPT)]:
        del os.environ[name]
    os.environ.update(task["environment"])
    options = dict(task["options"])
    if not task["must_exist"] and not Path(str(options.get("config", ""))).exists():
        options.pop("config", None)
    try:
        os.chdir(task["working_folder"])
        outcome: dict[str, object] = {"settings": load(options).settings.to_plain()}
    except (Failed, CffsError, OSError) as error:
        outcome = {"error": " ".join(str(error).split())}
    sys.stdout.write(json.dumps(outcome))
    return 0


if __name__ == "__main__":
    sys.exit(main())
