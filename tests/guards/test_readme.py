"""The README says what the code says."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

from cffs.callfire.operations import OPERATIONS
from cffs.tree.nodes import Kind
from cffs.tree.routes import routes_of

ROOT = Path(__file__).resolve().parents[2]


def readme_script() -> ModuleType:
    """scripts/readme.py as a module: scripts/ is no package."""
    spec = importlib.util.spec_from_file_location("readme_script", ROOT / "scripts/readme.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_parts_are_fresh():
    """The picture of the tree and the table of operations are what scripts/readme.py renders today."""
    text = (ROOT / "README.md").read_text()
    assert readme_script().rendered(text) == text


def test_every_operation_has_a_row():
    """Every operation that the client speaks says which path or command uses it, and no row is of another."""
    assert set(readme_script().USED_BY) == {operation.name for operation in OPERATIONS}


def patterns(parent: Kind, above: str = "") -> set[str]:
    """Every path of the route table."""
    found: set[str] = set()
    for route in routes_of(parent):
        path = above + route.pattern
        found |= {path, *(patterns(route.kind, path + "/") if route.is_folder else ())}
    return found


def test_every_operation_of_the_documents_is_used_by_a_path_that_exists():
    """Each operation of the second document, as parsed, and each of the first: its row names paths, all of them in the
    route table, and none says that it is yet to come."""
    document = (ROOT / "tests/callfire/seeds/second.txt").read_text()
    names = re.findall(r"^      operationId: (\S+)$", document, flags=re.MULTILINE)
    assert len(names) == 17
    names += [operation.name for operation in OPERATIONS if operation.document == "first"]
    used_by, known = readme_script().USED_BY, patterns(Kind.ROOT)
    for name in names:
        assert "not yet" not in used_by[name]
        assert not used_by[name].startswith("nothing")
        told = [text.split(" ")[-1].rstrip("/") for text in re.findall(r"`([^`]+)`", used_by[name])]
        paths = [
            text.replace("NUMBER", "{number}")
            .replace("/NAME", "/{NAME}")
            .replace("/{campaign}/{filename}", "/{campaign digits}/{filename}")
            for text in told
            if text not in ("--writable", ".mp3")
        ]
        for path in paths:
            ending = path.removeprefix("…/")
            assert any(
                one == path or (ending != path and one.endswith(ending)) or one.endswith("/" + path) for one in known
            ), (name, path)
        assert paths or "the same" in used_by[name]


def test_the_two_commands_come_first():
    """A newcomer meets scripts/demo and scripts/test before anything else that can be run."""
    text = (ROOT / "README.md").read_text()
    first_block = text.split("```")[1]
    assert "scripts/demo" in first_block
    assert "scripts/test" in first_block
