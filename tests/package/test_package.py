"""The parts of the Debian package that need no build to be judged.

What the built package does is tried in clean systems (`test_roots`).
"""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import cffs

ROOT = Path(__file__).resolve().parents[2]
PARTS = ROOT / "scripts/tools/debian"


@pytest.fixture(scope="module")
def package() -> ModuleType:
    """scripts/tools/package.py as a module."""
    spec = importlib.util.spec_from_file_location("package_script", ROOT / "scripts/tools/package.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("script", ["postinst", "prerm", "postrm", "read-ahead"])
def test_scripts_are_shell(script):
    """Each script that root runs is read by the shell that Debian has, without a complaint."""
    subprocess.run(["dash", "-n", str(PARTS / script)], check=True)


@pytest.mark.parametrize(
    "call", [("postinst", "configure"), ("prerm", "remove"), ("postrm", "remove"), ("postrm", "purge")]
)
def test_maintainer_scripts_do_nothing_where_nothing_runs(call, tmp_path):
    """In a container or a chroot, where neither udev nor systemd runs, they succeed and say nothing."""
    script = (PARTS / call[0]).read_text().replace("/run/", f"{tmp_path}/run/")
    done = subprocess.run(["sh", "-s", "--", *call[1:]], input=script, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_version_and_history(package):
    """The package has the version of the code, and dpkg's own parser reads its changelog."""
    assert package.version() == cffs.__version__
    command = ["dpkg-parsechangelog", "-l-", "-S", "Version"]
    done = subprocess.run(command, input=package.changelog(), check=True, capture_output=True, text=True)
    assert done.stdout.strip() == cffs.__version__


def test_commands_name_another_python(package, tmp_path):
    """The command of a package for another minor version of Python says so in one line, before it imports anything."""
    package.write_commands(tmp_path)
    text = (tmp_path / "usr/bin/cffs").read_text()
    compile(text, "cffs", "exec")
    here = f"({sys.version_info[0]}, {sys.version_info[1]})"
    assert here in text
    done = subprocess.run(
        [sys.executable, "-I", "-c", text.replace(here, "(3, 4)")], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert "install the one made for it" in done.stderr
    assert (tmp_path / "usr/sbin/mount.cffs").read_text().count("main_mount_helper") == 2


def test_shared_licences_are_named_not_copied(package, tmp_path):
    """A licence that every Debian system has is named by its place; another is given in full."""
    (tmp_path / "LICENSE").write_text("\n   Apache License\n   Version 2.0\n")
    assert "/usr/share/common-licenses/Apache-2.0" in package.licence_text(tmp_path / "LICENSE")
    (tmp_path / "LICENSE").write_text("MIT License\nand so on\n")
    assert package.licence_text(tmp_path / "LICENSE") == "MIT License\nand so on\n"


def test_a_trace_of_the_building_machine_stops_it(package, tmp_path):
    """A file that names a folder in which the package was made is an error."""
    root, scratch = tmp_path / "root", tmp_path / "scratch"
    root.mkdir()
    (root / "file").write_text("harmless")
    package.require_no_trace(root, scratch)
    (root / "file").write_text(f"built in {scratch}/source")
    with pytest.raises(SystemExit, match="names a folder of this machine"):
        package.require_no_trace(root, scratch)
