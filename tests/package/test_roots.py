"""The package and the set-up lines of the README, in clean systems of Debian.

The package is built, installed, upgraded under a running mount, and removed.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.package.clean_roots import ROOT, USER, CleanRoot

RELEASES = {"bookworm": "libfuse3-3", "trixie": "libfuse3-4"}
#: A download a minute late is no failure here.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]
#: What any mount must do, on a stand-in, as a user would; `$m` is mounted. It prints `all read` at its end.
READ_ALL = """
ls "$m"/campaigns/*/ "$m"/calls/*/ "$m"/by-number/* >/dev/null
find "$m/recordings" "$m/media" -type f -exec cat {} + | wc -c
cat "$m"/.cffs/status.json "$m"/.cffs/metrics "$m"/me/account.json "$m"/by-number/*/playlist.m3u8 >/dev/null
ls "$m/search/number=14155035894" >/dev/null
if cat "$m/recordings/4711.mp3" 2>/dev/null; then exit 9; fi
echo all read
"""


@pytest.fixture(scope="module", params=sorted(RELEASES))
def minbase(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, CleanRoot]]:
    """The smallest system of each release."""
    folder = tmp_path_factory.mktemp(request.param)
    yield request.param, CleanRoot.made(folder / "minbase", request.param)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def set_up(minbase: tuple[str, CleanRoot]) -> tuple[str, CleanRoot, CleanRoot, str]:
    """The release, its smallest system, one in which the README's set-up blocks were typed, and what that said."""
    release, clean = minbase
    root = clean.copied(clean.path.parent / "typed")
    root.install("sudo")
    (root.path / "etc/sudoers.d").mkdir(exist_ok=True)
    (root.path / "etc/sudoers.d/ada").write_text("ada ALL=(ALL) NOPASSWD: ALL\nDefaults env_keep += DEBIAN_FRONTEND\n")
    (root.path / "etc/apt/apt.conf.d/90yes").write_text('APT::Get::Assume-Yes "true";\n')
    checkout = root.path / "home" / USER / "cffs"
    names = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in names.stdout.splitlines():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, checkout / name)
    root.run(f"chown -R {USER}:{USER} /home/{USER}/cffs", user="root")
    blocks = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    # the one on sharing needs an account, and a server on the network
    installs = [
        block for block in blocks if "scripts/demo" in block or ("apt-get install" in block and "--shared" not in block)
    ]
    assert len(installs) == 3, installs
    lines = [line for block in installs for line in block.splitlines()]
    script = "cd cffs && set -eux\n" + "\n".join(line.partition("  #")[0] for line in lines)
    return release, clean, root, root.run(script).stdout


def said(*command: str) -> str:
    """What a command of this machine prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def deb_of(root: CleanRoot) -> Path:
    """The package that was made there."""
    (package,) = (root.path / "home" / USER / "cffs/dist").glob("cffs_*.deb")
    return package


def poisoned(package: Path, folder: Path) -> Path:
    """A package of a later version in which every module fails when it is read."""
    tree = folder / "poisoned"
    subprocess.run(["dpkg-deb", "-R", str(package), str(tree)], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"^Version: (.*)$", r"Version: \1+next", control.read_text(), flags=re.MULTILINE))
    (tree / "DEBIAN/md5sums").unlink()
    for path in (tree / "usr/lib/cffs/lib").rglob("*.pyc"):
        path.unlink()
    for path in (tree / "usr/lib/cffs/lib").rglob("*.py"):
        path.write_text("raise ImportError('read after the upgrade')\n")
    later = folder / "later.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(tree), str(later)], check=True)
    shutil.rmtree(tree)
    return later


def test_the_set_up_lines_of_the_readme_work(set_up):
    """Typed in the smallest system by an ordinary user: the demo compares every byte, the package is made and installs,
    and pipx gives the same commands."""
    _release, _clean, root, said = set_up
    assert "all equal to the stand-in's" in said
    assert root.run("/usr/bin/cffs --version").stdout.startswith("cffs ")
    assert (root.path / "home" / USER / ".local/bin/cffs").is_symlink()


def test_the_package_depends_on_what_it_links(set_up):
    """It names this release's libfuse3 and its minor version of Python, and no folder in which it was made."""
    release, _clean, root, _said = set_up
    fields = subprocess.run(
        ["dpkg-deb", "-f", str(deb_of(root)), "Depends"], check=True, capture_output=True, text=True
    )
    assert f"{RELEASES[release]} (" in fields.stdout
    assert re.search(r"python3 \(>= 3\.1\d~\), python3 \(<< 3\.1\d~\)", fields.stdout)


def test_lintian_finds_no_error(set_up):
    """Debian's own checker finds no error, but for those that the package overrides with a reason."""
    _release, _clean, root, _said = set_up
    root.install("lintian")
    said = root.run("lintian --fail-on error cffs/dist/*.deb").stdout
    assert "E: " not in said


def test_install_use_upgrade_and_removal(set_up, tmp_path):
    """In a clean system: the package installs with what it depends on, an ordinary user's demo works, a mount lives
    through an upgrade and reads what it never read before, and removal leaves nothing."""
    _release, clean, made, _said = set_up
    root = clean.copied(clean.path.parent / "used")
    root.install("fuse3", "python3", "ca-certificates", "tzdata", "procps")
    (root.path / "etc/mtab").unlink(missing_ok=True)
    (root.path / "etc/mtab").symlink_to("../proc/self/mounts")  # as a booted system has it
    before = root.files()
    package = deb_of(made)
    shutil.copy(package, root.path / "tmp/cffs.deb")
    shutil.copy(poisoned(package, tmp_path), root.path / "tmp/later.deb")
    (root.path / "tmp/cffs.deb").chmod(0o644)
    root.run("apt-get -qq install -y --no-install-recommends /tmp/cffs.deb", user="root")
    assert root.run("dpkg --verify cffs", user="root").stdout == ""
    wait = "for _ in $(seq 60); do if [ -e mnt/README.txt ]; then break; fi; sleep 1; done"
    demo = root.run(f"cffs demo &\n{wait}\nm=$PWD/mnt; set -eu{READ_ALL}")
    assert "all read" in demo.stdout
    root.run("/usr/lib/cffs/bin/python3 -c 'import cffs.shared.server, jeepney'")  # what pip gives as extras
    by_root = 'eval "$(cffs standin --export)"\nmount -t cffs none /mnt\nls /mnt/campaigns\numount /mnt\ncffs doctor'
    doctor = root.run(f"set -eu\n{by_root} | grep '^ok .*mount -t cffs'", user="root")
    assert "/sbin/mount.cffs" in doctor.stdout
    (root.path / "tmp/upgrade.sh").write_text(
        "set -eu\nrunuser -u ada -- sh -c 'eval \"$(cffs standin --export)\"; mkdir -p ~/m; cffs mount ~/m'\n"
        "dpkg -i /tmp/later.deb\nif cffs --version; then exit 9; fi\n"
        f"runuser -u ada -- sh -c 'm=/home/ada/m; set -eu{READ_ALL}'\n"
        "runuser -u ada -- fusermount3 -u /home/ada/m\ndpkg -i /tmp/cffs.deb\ncffs --version\n"
    )
    assert "all read" in root.run("sh /tmp/upgrade.sh", user="root").stdout
    root.run("dpkg --purge cffs", user="root")
    assert root.files() - before == set()
