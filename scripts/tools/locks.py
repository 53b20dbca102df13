# ruff: noqa: T201  # a script prints
"""The fingerprint in each lock's header: a hash of its dependency lists.

It must not know how locks are made (`scripts/lock`) or installed (`scripts/setup`).
"""

import hashlib
import json
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: What building pyfuse3 and this project needs (pyfuse3's own pyproject.toml asks for the last two): installed
#: first, so that builds need no second, unpinned download.
BUILD_REQUIREMENTS = ("setuptools>=78.1.1", "setuptools-scm>=8.0", "cython>=3.0", "wheel")
LOCKS = {
    "build": ROOT / "scripts/requirements-build.txt",
    "run": ROOT / "scripts/requirements.txt",
    "dev": ROOT / "scripts/requirements-dev.txt",
    "package": ROOT / "scripts/requirements-package.txt",
    "mutation": ROOT / "scripts/requirements-mutation.txt",
    "bench": ROOT / "scripts/requirements-bench.txt",
}
#: The extras that each lock installs beside the run-time dependencies. A tool that few runs need has a lock of its own,
#: so that `scripts/test` does not install it. The Debian package has what its commands can use: nothing can be added to
#: it later.
_EXTRAS = {
    "run": (),
    "dev": ("dev",),
    "package": ("notify", "shared"),
    "mutation": ("dev", "mutation"),
    "bench": ("dev", "bench"),
}
_PREFIX = "# dependencies sha256:"


def fingerprint(lock: str) -> str:
    """The hash that the header of a fresh lock holds."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = list(BUILD_REQUIREMENTS)
    if lock != "build":
        asked = sorted(project["dependencies"])
        for extra in _EXTRAS[lock]:
            asked += sorted(project["optional-dependencies"][extra])
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def header(lock: str) -> str:
    """The first lines of a lock."""
    return f"# Made by scripts/lock; do not edit.\n{_PREFIX}{fingerprint(lock)}\n"


def is_fresh(lock: str) -> bool:
    """True where the lock was made from the lists as they are now."""
    return LOCKS[lock].read_text().startswith(header(lock))


if __name__ == "__main__":
    if sys.argv[1] == "build-requirements":
        print("\n".join(BUILD_REQUIREMENTS))
    else:
        print(header(sys.argv[1]), end="")
