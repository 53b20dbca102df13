"""Lets `python -m cffs.cli` be the command `cffs`; it must not hold anything else. The demo starts its child so."""

from cffs.cli.main import main

if __name__ == "__main__":
    main()
