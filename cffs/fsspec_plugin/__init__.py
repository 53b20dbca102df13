"""The tree of an account without a mount: the protocol `callfire` of fsspec.

Calls come from any thread; one thread per process runs trio and owns the parts that a mount has, made by the builders
of `daemon/assembly`. It must not know the kernel: it works where pyfuse3 and libfuse are missing. fsspec finds
`filesystem.CallFireFileSystem` by the entry point in `pyproject.toml`.
"""
