"""The README says what the code says."""

import importlib.util
from pathlib import Path
from types import ModuleType

from cffs.callfire.operations import OPERATIONS

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


def test_the_two_commands_come_first():
    """A newcomer meets scripts/demo and scripts/test before anything else that can be run."""
    text = (ROOT / "README.md").read_text()
    first_block = text.split("```")[1]
    assert "scripts/demo" in first_block
    assert "scripts/test" in first_block
