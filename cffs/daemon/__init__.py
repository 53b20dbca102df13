"""The daemon: the life of a mount, its assembly, signals, logs and status.

It must not know commands, or how its settings were found. It is started as a child, `python -m cffs.daemon`, or in the
foreground by a call of `daemon.main.start`.
"""
