"""`python -m cffs.cli.mount_helper`: mount.cffs where the installed command is not at hand (a checkout).

It must not know anything; `cli/main` has the command.
"""

from cffs.cli.main import main_mount_helper

if __name__ == "__main__":
    main_mount_helper()
