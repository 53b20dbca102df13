"""Entry point of `python -m cffs.cli`, which is the command `cffs`.

It must not hold anything else.
"""

from cffs.cli.main import main

if __name__ == "__main__":
    main()
