"""Names are UTF-8 on the wire to the kernel, whatever the locale."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mount.mounting import account_variables, environment, run

#: A locale whose Python spells paths in ASCII: every system has it.
LOCALES = {"ascii": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}}
CHARMAP = Path("/usr/share/i18n/charmaps/ISO-8859-1.gz")
if CHARMAP.exists():
    LOCALES["latin-1"] = {"LC_ALL": "de_DE.ISO-8859-1"}
NAME = "Überfällig — 逾期"


def with_locale(name: str, home: Path) -> dict[str, str]:
    """The variables of that locale, made where it has to be."""
    if name == "latin-1":
        (home / "latin-1").write_bytes(gzip.decompress(CHARMAP.read_bytes()))
        made = home / "locales/de_DE.ISO-8859-1"
        made.parent.mkdir()
        subprocess.run(["localedef", "-f", home / "latin-1", "-i", "de_DE", made], check=True, capture_output=True)
        return LOCALES[name] | {"LOCPATH": str(made.parent)}
    return LOCALES[name]


@pytest.mark.parametrize("name", LOCALES)
def test_names_are_utf8(said, home, standin, name):
    """Labels and the mount point itself may hold letters that the locale does not know: they are listed, opened and
    printed as in any other locale, and a name that is no UTF-8 does not exist."""
    standin.account.add_call(labels=[NAME])
    variables = environment(home, account_variables(standin)) | with_locale(name, home)
    path = home / f"mnt {NAME}"
    path.mkdir()
    command = [sys.executable, "-P", "-m", "cffs.cli"]
    try:
        done = subprocess.run([*command, "mount", path], env=variables, cwd=home, capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")
        assert NAME in os.listdir(path / "by-label")
        (recording,) = [one for one in os.listdir(path / "by-label" / NAME) if one.endswith(".mp3")]
        file = path / "by-label" / NAME / recording
        assert file.read_bytes()
        with pytest.raises(FileNotFoundError):
            os.stat(os.fsencode(path / "by-label") + b"/\xdcberf\xe4llig")
        assert json.loads((path / ".cffs/status.json").read_bytes())["mountpoint"] == str(path)
        said.outputs.append(done.stderr.decode())
        told = subprocess.run([*command, "why", "--json", file], env=variables, cwd=home, capture_output=True)
        assert json.loads(told.stdout)["held"]["memory_bytes"] > 0, told
        assert json.loads((path / ".cffs/status.json").read_bytes())["bugs"] == 0
        done = subprocess.run([*command, "umount", path], env=variables, cwd=home, capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")
    finally:
        if path.is_mount():
            run(said, home, "umount", "--lazy", path)


def test_a_secret_of_the_environment_in_the_terminals_letters(home):
    """A password that a terminal of the locale spelt is read as its letters; a path in the environment keeps its bytes;
    output has those letters again, or escapes."""
    if "latin-1" not in LOCALES:
        return  # such a locale cannot be made here; ASCII above covers the rest
    program = """
import os, sys
from cffs.daemon.inherited_environment import repair_environment, spoken
repair_environment()
print(ascii(spoken(os.environ["SECRET"])), ascii(os.environ["FOLDER"]), os.fsencode(os.environ["FOLDER"]))
print("\u00fc \u903e")
"""
    script = home / "program.py"
    script.write_text(program)
    variables = environment(home, {}) | with_locale("latin-1", home)
    found = {**{os.fsencode(key): os.fsencode(value) for key, value in variables.items()}}
    found |= {b"SECRET": b"gr\xfcn", b"FOLDER": b"/gr\xfcn"}
    done = subprocess.run([sys.executable, script], env=found, cwd=home, capture_output=True)
    first, second = done.stdout.splitlines()
    assert first == rb"'gr\xfcn' '/gr\udcfcn' b'/gr\xfcn'", done.stderr
    assert second == rb"%b \u903e" % b"\xfc"
