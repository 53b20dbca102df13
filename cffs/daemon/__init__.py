"""The daemon owns the mount's life: object graph, nursery, signals, logs, status.

It must not know commands or how its settings were found.
`cli/` starts it, as a child through `cffs.daemon.__main__` or, in the foreground, by calling `cffs.daemon.main.run`.
"""
