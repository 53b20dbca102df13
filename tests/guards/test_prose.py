"""Guard over the English of docstrings and comments, and over what they refer to.

It owns the words that do not occur any more, each with what to write instead, and the list of packages that are clean.
It must not know what a sentence means: a guard finds words, a reader finds sentences.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Folders, and single files, that were read through. Add yours when it is.
CLEAN: Final[tuple[str, ...]] = (
    "cffs/__init__.py",
    "cffs/cache",
    "cffs/callfire",
    "cffs/catalog",
    "cffs/cli",
    "cffs/core",
    "cffs/daemon",
    "cffs/docs",
    "cffs/fsspec_plugin",
    "cffs/notes",
    "cffs/reader",
    "cffs/shared",
    "cffs/fuse",
    "cffs/tree",
    "cffs/standin",
    "cffs/writer",
    "scripts/tools",
    "tests/cache",
    "tests/canary.py",
    "tests/catalog",
    "tests/callfire",
    "tests/cli",
    "tests/daemon",
    "tests/writer",
    "tests/fuse",
    "tests/conftest.py",
    "tests/core",
    "tests/exhaustion.py",
    "tests/faults",
    "tests/fsspec_plugin",
    "tests/guards",
    "tests/mount",
    "tests/notes",
    "tests/reader",
    "tests/shared",
    "tests/speed",
    "tests/tree",
    "tests/standin",
)
LONGEST_FIRST_LINE = 80
#: Words that do not occur, and what to write instead.
UNIDIOMATIC: Final[dict[str, str]] = {
    r"\bnobody\b": 'name who is absent: "no reader", "no caller"',
    r"\bwhoever\b": 'name them: "a caller that"',
    r"\bas ever\b": "say what happens, or leave it out",
    r"\b(told|tells)\b": 'said, reported, known, given; "cannot be distinguished"',
    r"\bby then\b": "name the moment",
    r"\blately\b": 'recently, or "in the last N seconds"',
    r"\banew\b": "again, afresh",
    r"(?:\A|(?<=[.!?:;]\s))The same\b": "name what is equal to what",
    r"(?:\A|(?<=[.!?:;]\s))As above\b": "name what is equal to what",
    r"\bcalls (it|this|them)(?=[.;,:]|$)": "who calls it is found by a search, and a sentence about it rots",
}
#: References that a clone cannot follow: they become `cffs/docs/x.md#anchor`, or the reason itself.
ELSEWHERE: Final[dict[str, str]] = {
    r"(?<![/\w])(contract|api|readpath|perf|style|reliability|design|desktop|faults|peers|house)\.md": "not in a clone",
    r"(?i)\bcontract,? (sections? )?\d": "not in a clone",
    r"(?i)\bsections? \d+ of the contract\b": "not in a clone",
    r"(?i)\bthe contract('s)?\b": "not in a clone",
    r"\b(desktop|reliability|developer) notes\b|\bnotes, [A-Z]\d": "not in a clone",
    r"\bissue #?\d+\b": "no list of issues comes with a clone",
}
BANNED: Final = {re.compile(pattern): reason for pattern, reason in (UNIDIOMATIC | ELSEWHERE).items()}


def prose_of(source: str) -> Iterator[tuple[int, str]]:
    """The line and text of each docstring, and of each block of comments, with its lines joined."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text is not None:
                yield node.body[0].lineno, " ".join(text.split())
    block, first, last = list[str](), 0, 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if block and token.start[0] != last + 1:
            yield first, " ".join(block)
            block = []
        first, last = first if block else token.start[0], token.start[0]
        block.append(token.string.lstrip("#: "))
    if block:
        yield first, " ".join(block)


def offences(source: str) -> list[str]:
    """Line, words and advice for each word of a docstring or comment that must not be there."""
    found = []
    for line, text in prose_of(source):
        for pattern, advice in BANNED.items():
            found += [f"{line}: {match[0]!r}: {advice}" for match in pattern.finditer(text)]
    docstring = ast.get_docstring(ast.parse(source)) or ""
    first_line = docstring.partition("\n")[0]
    if len(first_line) > LONGEST_FIRST_LINE:
        found.append(f"1: {len(first_line)} characters: a module's first line has at most {LONGEST_FIRST_LINE}")
    return found


def files_of(clean: tuple[str, ...]) -> list[Path]:
    """The Python files in the clean folders, and the clean files themselves."""
    found = list[Path]()
    for name in clean:
        place = ROOT / name
        assert place.exists(), f"{name} is listed as clean and does not exist"
        found += sorted(place.rglob("*.py")) if place.is_dir() else [place]
    return [path for path in found if path != Path(__file__).resolve()]


def test_clean_packages_stay_clean():
    """No docstring or comment of a clean package has a banned word or refers to what a clone does not hold."""
    found = [f"{path.relative_to(ROOT)}:{bad}" for path in files_of(CLEAN) for bad in offences(path.read_text())]
    assert found == [], "\n" + "\n".join(found)


def phrases_of(source: str) -> Iterator[tuple[int, str]]:
    """The line and text of each string of several words that is no docstring: messages, log lines, help."""
    tree = ast.parse(source)
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    bodies += [node.body for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)]
    docstrings = {id(body[0].value) for body in bodies if body and isinstance(body[0], ast.Expr)}
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
        if is_text and " " in node.value.strip():
            yield node.lineno, " ".join(node.value.split())


def test_messages_are_clean():
    """No message, log line or help text of cffs has a banned word."""
    found = [
        f"{path.relative_to(ROOT)}:{line}: {match[0]!r}: {advice}"
        for path in sorted((ROOT / "cffs").rglob("*.py"))
        for line, text in phrases_of(path.read_text())
        for pattern, advice in UNIDIOMATIC.items()
        for match in re.finditer(pattern, text)
    ]
    assert found == [], "\n" + "\n".join(found)


def test_documents_are_clean():
    """No page, the README and CONTRIBUTING among them, has a banned word outside of code and generated parts."""
    pages = [ROOT / "README.md", ROOT / ".github/CONTRIBUTING.md", *sorted((ROOT / "cffs/docs").glob("*.md"))]
    found = []
    for page in pages:
        text = re.sub(r"<!-- (\w+): made by .*?<!-- /\1 -->", "", page.read_text(), flags=re.DOTALL)
        text = re.sub(r"^```.*?^```$|`[^`\n]*`", "", text, flags=re.DOTALL | re.MULTILINE)
        found += [
            f"{page.name}: {match[0]!r}: {advice}"
            for pattern, advice in UNIDIOMATIC.items()
            for match in re.finditer(pattern, " ".join(text.split()))
        ]
    assert found == [], "\n" + "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        '"""Owns it.\n\nNobody knows, and nobody asks."""'.replace("Nobody", "One"),
        '"""Owns it. The same for writes."""',
        'def f():\n    """As above, for writes."""',
        "x = 1  # the reader is told",
        "# a new one is made\n# anew at the next open\nx = 1",
        "#: Contract, section 6.\nx = 1",
        "#: Seen on 300 hosts (PAGE.md section 2).\nx = 1".replace("PAGE", "api"),
        '"""What it owns. `fuse/operations` calls it."""',
        '"""' + "a" * (LONGEST_FIRST_LINE + 1) + '"""',
    ],
)
def test_the_guard_sees(source):
    """Each of them would be found."""
    assert offences(source)


@pytest.mark.parametrize(
    "source",
    [
        '"""Owns the table. It calls the kernel."""',
        "text = 'nobody'",
        "#: See cffs/docs/performance.md#disk and cffs/docs/service.md.\nx = 1",
        '"""Reads the same bytes twice."""',
    ],
)
def test_the_guard_passes(source):
    """Code, links into the repository, and good sentences are left alone."""
    assert offences(source) == []
