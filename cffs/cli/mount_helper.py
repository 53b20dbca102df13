"""Entry point of mount.cffs in a checkout: `python -m cffs.cli.mount_helper`.

It must not hold anything else.
"""

from cffs.cli.main import main_mount_helper

if __name__ == "__main__":
    main_mount_helper()
