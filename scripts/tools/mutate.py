# ruff: noqa: T201, S603  # a script prints, and runs fixed commands
"""Mutation testing of the modules that decide.

It owns which modules are mutated, which tests must notice, and how a survivor is accounted for. mutmut makes the
mutants and runs the tests, in a copy of the checkout, because it reads its settings from there.

A mutant that only changes the message of an exception is left out of the count. Every other survivor is printed;
`scripts/tools/mutants.toml` holds those that are known, each with the reason why it may live.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KNOWN = ROOT / "scripts/tools/mutants.toml"
MUTMUT = ROOT / ".venv/bin/mutmut"
#: Below this share the tests of these modules are too weak to trust a change.
NOTICED_SHARE = 0.95
CHILDREN = 2
#: Module -> the tests that must notice its mutants.
MODULES: dict[str, tuple[str, ...]] = {
    "core/byte_range": ("tests/core/test_byte_range.py",),
    "core/names": ("tests/core/test_names.py",),
    "callfire/response_checks": (
        "tests/callfire/test_response_checks.py",
        "tests/callfire/test_header_grammar.py",
    ),
    "callfire/departure_log": ("tests/callfire/test_departure_log.py",),
    "callfire/retry": ("tests/callfire/test_retry.py",),
    "reader/read_ahead_policy": (
        "tests/reader/test_read_ahead_thresholds.py",
        "tests/reader/test_read_ahead_policy.py",
    ),
    "cache/disk_format": ("tests/cache/test_disk_format.py", "tests/cache/test_disk.py"),
    "fuse/errnos": ("tests/fuse/test_errnos.py",),
}
#: mutmut's words for how a mutant ended.
NOTICED, SURVIVED = frozenset({"killed", "timeout", "suspicious", "segfault"}), "survived"
_TEXT = re.compile(r"""[rbf]*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: its place, the lines before and after it, and its outcome."""

    name: str
    outcome: str
    before: str = ""
    after: str = ""

    @property
    def function(self) -> str:
        """The mutant's function without the mutant's number, such as `core.names.file_name`."""
        return re.sub(r"\.(x_|xǁ)|ǁ", ".", self.name.removeprefix("cffs.").partition("__mutmut_")[0])

    @property
    def is_of_a_message(self) -> bool:
        """True where only the message of an exception differs."""
        if "raise " not in self.before and "(" in self.before:
            return False
        return _without_texts(self.before) == _without_texts(self.after)


def _without_texts(line: str) -> str:
    """The line with every literal text, and every None that may stand for one, made equal."""
    return re.sub(r"(TEXT)+", "TEXT", re.sub(r"\bNone\b", "TEXT", _TEXT.sub("TEXT", line)))


def main() -> int:
    """The exit status: 0 where enough is noticed and each survivor is accounted for."""
    parser = argparse.ArgumentParser(prog="scripts/mutate")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=", ".join(MODULES))
    wanted = parser.parse_args().modules or list(MODULES)
    if unknown := set(wanted) - set(MODULES):
        parser.error(f"no module {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="cffs-mutants-") as folder:
        mutants = mutate(Path(folder) / "checkout", wanted)
    return judged(mutants, wanted)


def mutate(copy: Path, modules: list[str]) -> list[Mutant]:
    """Every mutant of the modules, made and tested in a copy of the checkout."""
    listing = ["git", "ls-files", "-z"]
    listed = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name)
    tests = sorted({test for module in modules for test in MODULES[module]})
    with (copy / "pyproject.toml").open("a") as settings:
        settings.write("\n[tool.mutmut]\n")
        settings.write('source_paths = ["cffs"]\nalso_copy = ["scripts", "README.md"]\n')
        settings.write(f"only_mutate = {json.dumps([f'cffs/{module}.py' for module in modules])}\n")
        settings.write('pytest_add_cli_args = ["-p", "no:cacheprovider", "--hypothesis-profile", "noticing"]\n')
        settings.write(f"pytest_add_cli_args_test_selection = {json.dumps(tests)}\n")
    run = [MUTMUT, "run", "--max-children", str(CHILDREN)]
    done = subprocess.run(run, cwd=copy, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stdout[-2000:] + done.stderr[-2000:])
        raise SystemExit("scripts/mutate: mutmut failed")
    results = subprocess.run([MUTMUT, "results", "--all", "true"], cwd=copy, capture_output=True, text=True, check=True)
    outcomes = re.findall(r"^\s*(cffs\.\S+): (.+)$", results.stdout, flags=re.MULTILINE)
    return [described(copy, name, outcome) for name, outcome in outcomes]


def described(copy: Path, name: str, outcome: str) -> Mutant:
    """The mutant, with its change where it survived."""
    if outcome != SURVIVED:
        return Mutant(name, outcome)
    shown = subprocess.run([MUTMUT, "show", name], cwd=copy, capture_output=True, text=True, check=True).stdout
    lines = [line for line in shown.splitlines() if line[:1] in "-+" and line[:3] not in ("---", "+++")]
    before, after = (" ".join(line[1:].strip() for line in lines if line[0] == sign) for sign in "-+")
    return Mutant(name, outcome, before, after)


def judged(mutants: list[Mutant], modules: list[str]) -> int:
    """Print the share of each module and every survivor; 0 where all is as it should be."""
    known = {(row["function"], row["after"]): row["reason"] for row in tomllib.loads(KNOWN.read_text())["survivor"]}
    unexplained = list[Mutant]()
    noticed, counted = Counter[str](), Counter[str]()
    for mutant in mutants:
        module = next(name for name in modules if mutant.name.startswith(f"cffs.{name.replace('/', '.')}."))
        if mutant.outcome == SURVIVED and mutant.is_of_a_message:
            continue
        counted[module] += 1
        if mutant.outcome in NOTICED:
            noticed[module] += 1
            continue
        reason = known.get((mutant.function, mutant.after))
        print(f"{mutant.outcome}: {mutant.function}\n    - {mutant.before}\n    + {mutant.after}")
        print(f"    {'NOT ACCOUNTED FOR' if reason is None else reason}")
        if reason is None:
            unexplained.append(mutant)
    for module in modules:
        print(f"{module:20} {noticed[module]:4} of {counted[module]:4} noticed")
    share = noticed.total() / max(1, counted.total())
    print(f"{noticed.total()} of {counted.total()} mutants noticed: {share:.1%}; {len(unexplained)} not accounted for")
    return int(share < NOTICED_SHARE or bool(unexplained))


if __name__ == "__main__":
    sys.exit(main())
