"""The command line owns commands, messages and progress.

It must not know how a mount works: it starts a daemon, and reads `.cffs/` of a running one. Nothing heavy (trio, httpx,
pyfuse3, rich) is imported before a command needs it. The entry points `cffs` and `mount.cffs` call it.
"""
