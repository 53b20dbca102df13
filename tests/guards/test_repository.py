"""Guards over habits that no linter holds."""

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST_MODULE = 400
#: The parts of the home-made HTTP, and a limit that lets it be read in one sitting, because people rightly distrust
#: such code.
OWN_HTTP, OWN_HTTP_LINES = ("http1.py", "pool.py", "sockets.py"), 600
#: The only places that may catch everything: the handler's boundary, background tasks, and the command line.
BROAD_EXCEPTS = {
    "cffs/fuse/guard.py": 2,  # around a handler, and around what answers a READ without waiting
    "cffs/daemon/background.py": 1,
    "cffs/shared/server.py": 2,  # a call and the keeper: a broken server makes the library raise anything
    "cffs/cli/main.py": 1,
}
#: Distribution name where it is not the import's.
IMPORT_NAMES: dict[str, str] = {}
#: Extras that only scripts/ and tests/ use.
FOR_DEVELOPERS = frozenset({"dev", "mutation", "bench"})
#: Imported by nothing here, needed by what is: nothing so far.
NOT_IMPORTED: frozenset[str] = frozenset()


def tracked(*patterns: str) -> list[Path]:
    """The files of the repository: tracked, or new and not ignored."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard", "-z", "--", *patterns]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:  # an unpacked archive has no git
        return [
            path
            for pattern in patterns or ("*",)
            for path in ROOT.rglob(pattern)
            if path.is_file() and not {".venv", ".git"} & set(path.parts)
        ]
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


MODULES = sorted((ROOT / "cffs").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))


def test_modules_are_short():
    """No module is longer than 400 lines."""
    assert [name_of(path) for path in MODULES if len(path.read_text().splitlines()) > LONGEST_MODULE] == []


def test_home_made_http_is_little():
    """Framing, pool, sockets and TLS of the own wire can be read in one sitting."""
    wire = ROOT / "cffs/callfire/wire"
    assert sum(len((wire / name).read_text().splitlines()) for name in OWN_HTTP) < OWN_HTTP_LINES


def test_modules_say_what_they_own():
    """Every module starts with a docstring, and a package's `__init__` is nothing but that (and the version)."""
    wrong = []
    for path in MODULES:
        tree = ast.parse(path.read_text())
        rest = [node for node in tree.body[1:] if not (path.parent.name == "cffs" and isinstance(node, ast.Assign))]
        if ast.get_docstring(tree) is None or (path.name == "__init__.py" and rest):
            wrong.append(name_of(path))
    assert wrong == []


def test_every_folder_is_a_package():
    """No folder of code lacks its `__init__`."""
    assert {name_of(path.parent) for path in MODULES if not (path.parent / "__init__.py").exists()} == set()


def test_broad_excepts_are_declared():
    """`except Exception` (or wider) is only where it is declared; `except BaseException` re-raises."""
    found: dict[str, int] = {}
    swallowed = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ExceptHandler):
                continue
            names = (
                {part.id for part in ast.walk(node.type) if isinstance(part, ast.Name)}
                if node.type
                else {"BaseException"}
            )
            if "Exception" in names:
                found[name_of(path)] = found.get(name_of(path), 0) + 1
            last = node.body[-1]
            if "BaseException" in names and not (isinstance(last, ast.Raise) and last.exc is None):
                swallowed.append(f"{name_of(path)}:{node.lineno}")
    assert swallowed == []
    assert {name: times for name, times in found.items() if times > BROAD_EXCEPTS.get(name, 0)} == {}


def test_every_test_states_its_property():
    """Every test function has a docstring."""
    missing = []
    for path in TESTS:
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                and node.name.startswith("test_")
                and not ast.get_docstring(node)
            ):
                missing.append(f"{name_of(path)}:{node.lineno}")
    assert missing == []


def test_no_registry_address():
    """No tracked file names the host of a package registry or a package index."""
    pattern = re.compile(
        rb"(?i)\b(?:pypi\.org|files\.python" + rb"hosted\.org|pypi\.python\.org|--(?:extra-)?index" + rb"-url https?:)"
    )
    here = Path(__file__).resolve()
    assert [name_of(path) for path in tracked() if path != here and pattern.search(path.read_bytes())] == []


def load(path: str) -> ModuleType:
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look it up there
    spec.loader.exec_module(module)
    return module


def test_every_test_folder_is_run() -> None:
    """Each folder with tests belongs to a group of `scripts/test`, but for this one, which `scripts/check` runs."""
    run = {path for group in load("scripts/tools/run_tests.py").GROUPS for path in group.paths}
    assert run == {f"tests/{path.parent.name}" for path in ROOT.glob("tests/*/test_*.py")} - {"tests/guards"}


@pytest.mark.parametrize("lock", ["build", "run", "dev", "mutation", "bench"])
def test_locks_are_fresh(lock):
    """Each lock was made from the dependencies as they are now, and pins every package by hash; else: scripts/lock."""
    locks = load("scripts/tools/locks.py")
    assert locks.is_fresh(lock), "run scripts/lock"
    text = locks.LOCKS[lock].read_text()
    pinned = re.findall(r"^[a-z0-9][^\s=]*==\S+ \\\n    --hash=sha256:", text, re.MULTILINE)
    assert len(pinned) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE)) > 0


def test_declared_is_imported():
    """The run-time dependencies and the extras for users are exactly what the code imports from outside the standard
    library."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {name: items for name, items in project["optional-dependencies"].items() if name not in FOR_DEVELOPERS}
    declared = package_names([*project["dependencies"], *chain.from_iterable(extras.values())])
    imported = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
    foreign = imported - sys.stdlib_module_names - {"cffs"}
    assert foreign - declared == set(), "declare it in pyproject.toml and run scripts/lock"
    assert declared - foreign - NOT_IMPORTED == set(), "nothing imports it"


def package_names(items):
    """The names by which the requirements are imported."""
    names = {re.split(r"[<>=~! \[]", item)[0].lower().replace("-", "_") for item in items}
    return {IMPORT_NAMES.get(name, name) for name in names}


def test_entry_points_exist():
    """Every command of pyproject.toml can be loaded."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for target in project["scripts"].values():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function))
