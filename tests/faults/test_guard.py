"""The table of faults and the tests of its rows are equal."""

import ast
from pathlib import Path

from tests.faults.rows import OF_WRITING, ROWS


def rows_tested() -> dict[str, str | None]:
    """Name to docstring of each test in `test_rows_*.py`, without the `test_`."""
    found = {}
    for file in sorted(Path(__file__).parent.glob("test_rows_*.py")):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                assert node.name not in found
                found[node.name.removeprefix("test_")] = ast.get_docstring(node)
    return found


def test_rows_and_tests_are_equal():
    """Each row has the test of its name, and each such test a row; what does not apply has no test."""
    found = rows_tested()
    assert set(ROWS) - set(found) == set(), "rows without a test"
    assert set(found) - set(ROWS) == set(), "tests without a row"
    assert not set(ROWS) & set(OF_WRITING)
    root = Path(__file__).resolve().parents[2]
    assert [name for name, (file, test) in OF_WRITING.items() if f"def {test}(" not in (root / file).read_text()] == []


def test_each_says_its_property():
    """Every test of a row has a docstring, every row a promise."""
    assert [name for name, text in rows_tested().items() if not text] == []
    assert all(ROWS.values())
