"""Root runs nothing that a user can change: units of the machine and mount.cffs."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.cli.checks import State
from cffs.cli.checks_machine import _mount_helper
from cffs.cli.root_owned import changeable, executed_by, weakness_of
from tests.cli.helpers import ROOT, cffs, environment, one_line

ADA = 4711
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can own files as root does; runs in the group cli")


def found(mode: int, uid: int = 0, gid: int = 0) -> os.stat_result:
    """What lstat says of a path."""
    return os.stat_result((mode, 1, 1, 1, uid, gid, 0, 0, 0, 0))


PARTS = st.tuples(
    st.sampled_from([0o755, 0o775, 0o777, 0o1777, 0o700]), st.sampled_from([0, ADA]), st.sampled_from([0, 50, ADA])
)


@given(st.lists(PARTS, min_size=1, max_size=6))
def test_every_part_of_the_way_counts(parts):
    """A path is root's alone exactly where every part is, from the root down: owned by root, and writable only
    to root and to groups that are as good as root, or sticky."""
    names = [f"p{number}" for number in range(len(parts) - 1)]
    paths = [Path("/").joinpath(*names[:depth]) for depth in range(len(parts))]
    told = dict(zip(paths, parts, strict=True))

    def look(path: Path) -> os.stat_result:
        mode, uid, gid = told[path]
        return found(stat.S_IFDIR | mode, uid, gid)

    weak = [
        uid != 0 or (not mode & stat.S_ISVTX and bool(mode & 0o002 or (mode & 0o020 and gid == ADA)))
        for mode, uid, gid in parts
    ]
    why = changeable(paths[-1], look=look)
    assert (why is not None) == any(weak)
    if why is not None:
        first = str(paths[weak.index(True)])
        assert why.startswith(f"{first} ")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder of root's with a user's home in it. Not pytest's own: that may lie below what others can change."""
    folder = Path("/run") / f"cffs-test-{os.getpid()}"
    folder.mkdir(mode=0o755)
    (folder / "home").mkdir(mode=0o755)
    os.chown(folder / "home", ADA, ADA)
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=True)


def installation(folder: Path, *, packages: Path | None = None) -> Path:
    """What pip leaves in a venv: a script, an interpreter, the packages; `packages` makes it editable."""
    site = folder / "lib/python3.11/site-packages"
    (folder / "bin").mkdir(parents=True)
    site.mkdir(parents=True)
    (folder / "bin/python").symlink_to("/usr/bin/env")
    script = folder / "bin/mount.cffs"
    script.write_text(f"#!{folder}/bin/python\nfrom cffs.cli.main import main\n")
    script.chmod(0o755)
    code = (packages or site) / "cffs"
    (code / "cli").mkdir(parents=True)
    (code / "cli/main.py").write_text("")
    if packages is not None:
        (site / "__editable___cffs_finder.py").write_text(f"MAPPING = {{'cffs': '{code}'}}\n")
    return script


@as_root
def test_an_installation_of_roots(place):
    """A venv that is root's from the root down may be run by root, also through a link."""
    script = installation(place / "opt")
    (place / "link").symlink_to("opt/bin/mount.cffs")
    assert weakness_of(script) is None
    assert weakness_of(place / "link") is None
    check = _mount_helper(place / "link")
    assert (check.state, check.found) == (State.OK, str(place / "link"))


@as_root
@pytest.mark.parametrize(
    "spoil",
    [
        "home",
        "bin/mount.cffs",
        "lib/python3.11/site-packages",
        "lib/python3.11/site-packages/cffs",
        "lib/python3.11/site-packages/cffs/cli/main.py",
    ],
)
def test_a_part_that_is_a_users(place, spoil):
    """Whatever of it belongs to a user, or lies below what does: doctor warns and names an installation of root's."""
    folder = place / ("home/venv" if spoil == "home" else "opt")
    script = installation(folder)
    victim = place / "home" if spoil == "home" else folder / spoil
    os.chown(victim, ADA, ADA)
    (place / "link").symlink_to(script)
    assert weakness_of(place / "link") == f"{victim} belongs to uid {ADA}"
    check = _mount_helper(place / "link")
    assert check.state is State.WARN
    assert str(victim) in check.found
    assert "/opt/cffs" in check.mend


@as_root
def test_packages_elsewhere(place):
    """An editable installation runs the checkout that it names."""
    script = installation(place / "opt", packages=place / "home/checkout")
    assert weakness_of(script) == f"{place / 'home'} belongs to uid {ADA}"


@as_root
def test_a_folder_that_everybody_can_write_to(place):
    """A script whose folder is open to everybody is not root's alone."""
    script = installation(place / "opt")
    script.parent.chmod(0o777)
    assert weakness_of(script) == f"{script.parent} can be changed by everybody"


@as_root
def test_links_in_a_circle(place):
    """Links in a circle are a weakness, and the check ends."""
    (place / "one").symlink_to("two")
    (place / "two").symlink_to("one")
    assert "circle" in str(changeable(place / "one"))


def test_what_is_looked_at_here():
    """Of this checkout's own command: the script, its interpreter, and the package that it is."""
    command = Path(sys.executable).with_name("cffs")
    paths = list(executed_by(command))
    assert paths[0] == command
    assert ROOT / "cffs/cli/main.py" in paths


@as_root
def test_the_machines_unit_is_refused(place, tmp_path):
    """`config unit system` of an installation that a user can change prints no unit, and says where to install; that
    user's own unit is printed."""
    folder = place / "home/venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (folder / "bin/cffs").write_text(f"#!{folder}/bin/python\n")
    (folder / "bin/cffs").chmod(0o755)
    program = "import sys; from cffs.cli.main import run, cli; sys.exit(run(cli, sys.argv[1:], name='cffs'))"
    packages = ":".join([str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))])
    variables = environment(tmp_path, PYTHONPATH=packages)
    command = [str(folder / "bin/python"), "-c", program, "config", "unit"]
    refused = subprocess.run([*command, "system"], env=variables, capture_output=True, text=True)
    line = one_line(refused, 1)
    assert f"{place / 'home'} belongs to uid {ADA}" in line
    assert "/opt/cffs/bin/pip install ." in line
    printed = subprocess.run([*command, "user"], env=variables, capture_output=True, text=True)
    assert printed.returncode == 0
    assert str(folder / "bin/cffs") in printed.stdout


@as_root
def test_the_machines_unit_of_roots_installation(tmp_path):
    """Of this checkout, where it is root's alone, the unit is printed with the command's path."""
    command = Path(sys.executable).with_name("cffs")
    done = cffs(tmp_path, "config", "unit", "system")
    if weakness_of(command) is None:
        assert done.returncode == 0
        assert f"ExecStart={command} mount" in done.stdout
    else:
        assert one_line(done, 1)
