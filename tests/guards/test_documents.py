"""Guard over the documents: generated parts, links, and what they must name."""

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

from cffs.callfire.operations import OPERATIONS
from cffs.core.settings_options import OPTIONS
from cffs.tree.nodes import Kind
from cffs.tree.routes import routes_of
from tests.guards.links import anchors, broken_references

ROOT = Path(__file__).resolve().parents[2]


def script() -> ModuleType:
    """scripts/tools/documents.py as a module; its folder is the first of the path, as when it is run."""
    sys.path.insert(0, str(ROOT / "scripts/tools"))
    try:
        return importlib.import_module("documents")
    finally:
        sys.path.pop(0)


def test_generated_parts_are_fresh():
    """The tree, the commands, the options and the table of operations are what scripts/documents renders today."""
    documents = script()
    assert set(documents.PARTS) == {"commands", "faults", "tree", "operations", "options"}
    for name, (file, _) in documents.PARTS.items():
        text = (ROOT / "cffs/docs" / file).read_text()
        assert documents.rendered(name, text) == text, f"{file}: run scripts/documents"


def test_man_pages_are_fresh():
    """Each man page is what scripts/documents renders today, and no other lies beside them."""
    pages = script().man_pages.PAGES
    assert {path.name for path in (ROOT / "cffs/docs/man").iterdir()} == set(pages)
    for name, render in pages.items():
        assert (ROOT / "cffs/docs/man" / name).read_text() == render(), f"{name}: run scripts/documents"


def test_man_pages_have_every_option():
    """cffs(1) has every command and every option with its help, and roff that would be taken for a request is not."""
    page = (ROOT / "cffs/docs/man/cffs.1").read_text().replace("\\-", "-")
    for option in OPTIONS:
        assert f"\\fB{option.flag}" in page, option.flag
        assert option.help in page, option.flag
    requests = {line.split()[0] for line in page.splitlines() if line.startswith((".", "'"))}
    assert requests <= {'.\\"', ".TH", ".SH", ".SS", ".PP", ".TP", ".IP", ".nf", ".fi", ".RS", ".RE"}


def test_every_operation_has_a_row():
    """Every operation that the client speaks says which path or command uses it, and no row is of another."""
    assert set(script().USED_BY) == {operation.name for operation in OPERATIONS}


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
    used_by, known = script().USED_BY, patterns(Kind.ROOT)
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
        assert paths, name


def test_the_demo_comes_first():
    """A newcomer meets scripts/demo before anything else that can be run, and finds scripts/test and every document."""
    text = (ROOT / "README.md").read_text()
    assert "scripts/demo" in text.split("```")[1]
    assert "`scripts/test`" in text
    documents = {page.name for page in (ROOT / "cffs/docs").glob("*.md")}
    assert documents == set(re.findall(r"\(cffs/docs/([a-z]+\.md)", text))


def test_every_link_leads_somewhere():
    """Each relative link of the README and of the documents names a file of the repository, and an anchor of it."""
    for page in (ROOT / "README.md", *sorted((ROOT / "cffs/docs").glob("*.md"))):
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            if "://" in target:
                continue
            file, _, anchor = target.partition("#")
            linked = page if not file else page.parent / file
            assert linked.exists(), (page.name, target)
            assert not anchor or anchor in anchors(linked), (page.name, target)


def test_every_reference_of_the_code_leads_somewhere():
    """Each `cffs/docs/x.md#anchor` in code, tests, scripts and settings names a document, and a heading of it."""
    files = [path for folder in ("cffs", "tests", "scripts") for path in sorted((ROOT / folder).rglob("*"))]
    files = [path for path in files if path.suffix in {".py", ".toml", ".service", ""} and path.is_file()]
    here = ROOT / "tests/guards"
    broken = {str(path.relative_to(ROOT)): broken_references(path.read_text()) for path in files if path.parent != here}
    assert {name: found for name, found in broken.items() if found} == {}


def test_every_floor_is_drawn():
    """Each package has its line in cffs/__init__.py and its row under Floors in architecture.md, and no other has."""
    packages = {path.parent.name for path in (ROOT / "cffs").glob("*/__init__.py")} - {"docs"}
    drawn = re.findall(r"^    (\w+)/ ", (ROOT / "cffs/__init__.py").read_text(), flags=re.MULTILINE)
    text = (ROOT / "cffs/docs/architecture.md").read_text().partition("## Floors\n")[2].partition("\n## ")[0]
    assert set(drawn) == packages
    assert set(re.findall(r"^\| `(\w+)/` \|", text, flags=re.MULTILINE)) == packages


def test_modules_in_documents_exist():
    """Each `package/module` that a page names, and each path of a test, is one of the repository."""
    modules = {path.relative_to(ROOT / "cffs").with_suffix("").as_posix() for path in (ROOT / "cffs").rglob("*.py")}
    packages = "|".join(sorted({module.partition("/")[0] for module in modules if "/" in module}))
    named = re.compile(rf"(?<![\w./{{-])((?:{packages})(?:/[a-z_0-9]+)+)(?![\w/}}{{-])")
    missing = []
    for page in (ROOT / ".github/CONTRIBUTING.md", *sorted((ROOT / "cffs/docs").glob("*.md"))):
        text = page.read_text()
        missing += [f"{page.name}: {name}" for name in named.findall(text) if name not in modules]
        tests = re.findall(r"tests/[\w/]+(?:\.py)?", text)
        missing += [f"{page.name}: {name}" for name in tests if not _is_test(name)]
    missing = [name for name in missing if not (ROOT / "cffs" / name.partition(": ")[2]).is_dir()]
    assert missing == [], "rename it in the document, too"


def _is_test(name: str) -> bool:
    return (ROOT / name).exists() or (ROOT / f"{name}.py").exists() or "PACKAGE" in name


def test_the_guard_sees_broken_references():
    """A missing document and a missing heading are found, and those that exist are not."""
    text = "docs/none.md, cffs/docs/semantics.md#none, cffs/docs/semantics.md#promises, cffs/docs/service.md"
    assert broken_references(text) == ["docs/none.md", "cffs/docs/semantics.md#none"]
