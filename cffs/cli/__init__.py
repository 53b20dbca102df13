"""The command line: commands, messages, progress.

It must not know how a mount works: it starts a daemon, and asks a running one through its control socket and `.cffs/`.
Nothing heavy (trio, httpx, pyfuse3, rich) is imported before a command needs it.
"""
