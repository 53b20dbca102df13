"""`cffs login` and `cffs logout`: prompts, stdin, and what the file holds."""

import os
import pty
import select
import signal
import stat
import sys
import time
import tomllib
from pathlib import Path

import pytest

from cffs.cli.config_write import with_values
from cffs.cli.messages import Failed
from cffs.standin.answers import Credentials
from cffs.standin.thread import StandinThread
from tests.cli.helpers import cffs, environment, one_line, subprocess

GIVEN = 'apikey = CANARYKEY\nlogin = somebody\npassword = "CANARY\\"PASS é"\n'


def login(home: Path, given: str, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """`cffs login` with these lines on stdin."""
    command = [sys.executable, "-P", "-m", "cffs.cli", "login", *map(str, arguments)]
    return subprocess.run(
        command, input=given, cwd=home, env=environment(home, **variables), capture_output=True, text=True, timeout=60
    )


def config_of(home: Path) -> Path:
    return home / "config/cffs/config.toml"


def test_stored_privately_and_removed_whole(tmp_path):
    """From stdin into a file of 0600 whatever the umask; logout leaves no secret, no half-written file, no file."""
    before = os.umask(0)
    try:
        # no byte code with this umask: what python -m leaves would be writable for all users
        done = login(tmp_path, GIVEN, "--no-check", PYTHONDONTWRITEBYTECODE="1")
    finally:
        os.umask(before)
    assert (done.returncode, done.stdout) == (0, "")
    assert "CANARY" not in done.stderr
    config = config_of(tmp_path)
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert stat.S_IMODE(config.parent.stat().st_mode) == 0o700
    assert tomllib.loads(config.read_text()) == {
        "apikey": "CANARYKEY",
        "login": "somebody",
        "password": 'CANARY"PASS é',
    }
    (config.parent / ".config-abc").write_text("CANARYKEY")
    done = cffs(tmp_path, "logout")
    assert done.returncode == 0
    assert "removed apikey, login, password" in done.stderr
    assert list(config.parent.iterdir()) == []
    assert "nothing was changed" in cffs(tmp_path, "logout").stderr


def test_profiles_and_comments_stay(tmp_path):
    """Other keys, comments and profiles stay as they are; a profile's credentials are its own."""
    config = config_of(tmp_path)
    config.parent.mkdir(parents=True)
    config.write_text('# mine\ntimeout = 20\napikey = "OLD"\n\n[profile.work]\nformats = "mp3"  # small\n')
    config.chmod(0o600)
    assert login(tmp_path, "apikey = CANARYKEY", "--no-check", "--profile", "work").returncode == 0
    assert login(tmp_path, "apikey = CANARYNEW", "--no-check", "--profile", "new").returncode == 0
    text = config.read_text()
    assert "# mine" in text
    assert "# small" in text
    assert tomllib.loads(text) == {
        "timeout": 20,
        "apikey": "OLD",
        "profile": {"work": {"formats": "mp3", "apikey": "CANARYKEY"}, "new": {"apikey": "CANARYNEW"}},
    }
    assert cffs(tmp_path, "logout", "--profile", "work").returncode == 0
    assert tomllib.loads(config.read_text())["profile"]["work"] == {"formats": "mp3"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("", "no credentials given"),
        ("login = x", "work only together"),
        ("login = a:b\npassword = CANARY", "no colon"),
        ("CANARY", "not NAME = VALUE"),
        ("secret = CANARY", "not NAME = VALUE"),
        ('apikey = "CANARY', "not quoted"),
        ("apikey = " + "CANARY" * 1000, "one line of at most"),
    ],
)
def test_refused_input(tmp_path, given, says):
    """What cannot be credentials is one line that shows nothing of them, and changes nothing."""
    done = login(tmp_path, given, "--no-check")
    assert done.returncode == 1
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "CANARY" not in done.stderr
    assert not config_of(tmp_path).exists()


GOOD = Credentials(apikey="goodkey-1", login="good", password="goodpass", account_login="o", account_password="pp")
#: What the file held before: of both APIs, with comments and another profile.
BEFORE = """# mine
timeout = 20
apikey = "OLDKEY"
login = "old"
password_file = "/old/file"  # there

[profile.work]
password = "x"
login = "y"
"""


def prepared(home: Path, text: str = BEFORE) -> Path:
    """The config file with this text."""
    config = config_of(home)
    config.parent.mkdir(parents=True)
    config.write_text(text)
    config.chmod(0o600)
    return config


def addresses(standin: StandinThread) -> dict[str, str]:
    return {"CFFS_V1_URL": standin.v1_url, "CFFS_V2_URL": standin.v2_url}


def test_the_service_is_asked(tmp_path):
    """Credentials that every API refuses are not stored; what it accepts is, and a mount's settings have it."""
    with StandinThread(credentials=GOOD) as standin:
        urls = addresses(standin)
        done = login(tmp_path, "apikey = wrong", **urls)
        assert done.returncode == 1
        assert "v1 refuses the key; nothing was changed" in done.stderr
        assert not config_of(tmp_path).exists()
        done = login(tmp_path, "apikey = goodkey-1\nlogin = good\npassword = goodpass", **urls)
        assert done.returncode == 0, done.stderr
        assert "v1 accepted, v2 accepted" in done.stderr


@pytest.mark.parametrize("wrong", ["v1", "v2", "account"])
def test_only_what_was_accepted_is_stored(tmp_path, wrong):
    """Of several given the refused one changes nothing of its own in the file, the others are stored, status 1, and one
    line says both."""
    given = {"v1": "goodkey-1", "v2": "goodpass", "account": "pp"} | {wrong: "CANARYWRONG"}
    config = prepared(tmp_path)
    with StandinThread(credentials=GOOD) as standin:
        lines = f"apikey = {given['v1']}\nlogin = good\npassword = {given['v2']}\n"
        lines += f"account_login = o\naccount_password = {given['account']}\n"
        done = login(tmp_path, lines, **addresses(standin))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "refuses" in line
    assert "not stored; stored in" in line
    assert "CANARY" not in line
    expected = tomllib.loads(BEFORE)
    if wrong != "v1":
        expected["apikey"] = "goodkey-1"
    if wrong != "v2":
        del expected["password_file"]
        expected |= {"login": "good", "password": "goodpass"}
    if wrong != "account":
        expected |= {"account_login": "o", "account_password": "pp"}
    assert tomllib.loads(config.read_text()) == expected
    assert "# mine" in config.read_text()


def test_what_was_not_given_stays(tmp_path):
    """A new key for v1 leaves v2's login where it is, in the file or in a file that it names."""
    config = prepared(tmp_path)
    with StandinThread(credentials=GOOD) as standin:
        done = login(tmp_path, "apikey = goodkey-1", **addresses(standin))
    assert done.returncode == 0, done.stderr
    assert tomllib.loads(config.read_text()) == tomllib.loads(BEFORE) | {"apikey": "goodkey-1"}
    assert config.read_text().replace("goodkey-1", "OLDKEY").splitlines()[0] == "# mine"
    assert 'password_file = "/old/file"  # there' in config.read_text()


@pytest.mark.parametrize("path", ["", "/v3"])
def test_another_service_is_not_logged_in_to(tmp_path, path):
    """A base URL that is not the service's is reported, and nothing is stored for it."""
    with StandinThread(credentials=GOOD) as standin:
        urls = {"CFFS_V1_URL": standin.v1_url, "CFFS_V2_URL": standin.base_url + path}
        line = one_line(login(tmp_path, "login = good\npassword = goodpass", **urls), 1)
        assert (
            f"v2 at {urls['CFFS_V2_URL']} does not look like the service; is /v2 missing?; nothing was changed" in line
        )
        assert not config_of(tmp_path).exists()
        both = "apikey = goodkey-1\nlogin = good\npassword = goodpass"
        assert "v1 accepted" in one_line(login(tmp_path, both, **urls), 1)
        assert tomllib.loads(config_of(tmp_path).read_text()) == {"apikey": "goodkey-1"}


def test_a_web_page_is_not_logged_in_to(tmp_path):
    """Where v1 answers as a web server does that has nothing of it, the key is not stored unless the user insists."""
    with StandinThread(credentials=GOOD) as standin:
        standin.faults.add("status", code=404, body="html", path="^/cloud/")
        line = one_line(login(tmp_path, "apikey = goodkey-1", **addresses(standin)), 1)
    assert "answered 404 with a web page; is the address right?" in line
    assert not config_of(tmp_path).exists()


def test_an_unreachable_service(tmp_path):
    """Without a network the credentials are stored, and the line says that they were not checked."""
    dead = {"CFFS_V1_URL": "http://127.0.0.1:9/cloud/1", "CFFS_V2_URL": "http://127.0.0.1:9/v2"}
    line = one_line(login(tmp_path, "apikey = CANARYKEY", **dead), 0)
    assert "v1 cannot be reached, so not checked" in line
    assert tomllib.loads(config_of(tmp_path).read_text()) == {"apikey": "CANARYKEY"}


def test_a_right_to_one_campaign_proves_nothing(tmp_path):
    """A key that may not see the campaign it is tried with is stored."""
    with StandinThread(credentials=GOOD) as standin:
        standin.faults.add("status", code=403, path="^/cloud/")
        line = one_line(login(tmp_path, "apikey = goodkey-1", **addresses(standin)), 0)
    assert "does not say whether" in line
    assert tomllib.loads(config_of(tmp_path).read_text()) == {"apikey": "goodkey-1"}


def test_a_broken_secret_can_be_replaced(tmp_path):
    """What the file or the environment held before, a missing secret file included, does not stand in the way."""
    config = prepared(tmp_path, 'apikey_file = "/none/at/all"\n')
    with StandinThread(credentials=GOOD) as standin:
        done = login(tmp_path, "apikey = goodkey-1", CFFS_LOGIN="half", **addresses(standin))
    assert done.returncode == 0, done.stderr
    assert tomllib.loads(config.read_text()) == {"apikey": "goodkey-1"}


def test_the_place_is_stored_with_them(tmp_path):
    """Bases given to login are stored too: credentials of one service must not be sent to another."""
    urls = ("--v1-url", "https://one.example/1", "--v2-url", "https://two.example/2")
    assert login(tmp_path, "apikey = CANARYKEY", "--no-check", "--profile", "other", *urls).returncode == 0
    table = tomllib.loads(config_of(tmp_path).read_text())["profile"]["other"]
    assert table == {"apikey": "CANARYKEY", "v1_url": urls[1], "v2_url": urls[3]}


def test_no_new_place_for_what_stays(tmp_path):
    """A base given for an API whose credentials are not replaced is not stored: they would be sent there."""
    config = prepared(tmp_path)
    urls = ("--v1-url", "https://one.example/1", "--v2-url", "https://two.example/2")
    assert login(tmp_path, "apikey = CANARYKEY", "--no-check", *urls).returncode == 0
    assert tomllib.loads(config.read_text()) == {**tomllib.loads(BEFORE), "apikey": "CANARYKEY", "v1_url": urls[1]}
    one_line(login(tmp_path, "account_login = o\naccount_password = CANARYPASS", "--no-check", *urls), 1)
    assert tomllib.loads(config.read_text())["login"] == "old"


def test_open_config_is_refused(tmp_path):
    """A config that holds secrets and that others can read is not written to."""
    config = config_of(tmp_path)
    config.parent.mkdir(parents=True)
    config.write_text('apikey = "CANARYKEY"\n')
    config.chmod(0o644)
    done = login(tmp_path, "apikey = CANARYNEW", "--no-check")
    assert done.returncode == 1
    assert "chmod 600" in done.stderr
    assert "CANARYNEW" not in config.read_text()


def test_never_an_argument(tmp_path):
    """There is no option for a secret: wrong usage, one line, nothing repeated."""
    assert "CANARY" not in one_line(cffs(tmp_path, "login", "--apikey", "CANARYKEY"), 2)


def on_a_terminal(home: Path, *answers: str) -> tuple[int, str]:
    """`cffs login` on a terminal of its own, answered line by line as its questions come; status and screen."""
    pid, master = pty.fork()
    if pid == 0:
        command = [sys.executable, "-P", "-m", "cffs.cli", "login", "--no-check"]
        os.chdir(home)
        os.execve(sys.executable, command, environment(home))  # noqa: S606  # after a fork
    screen, waiting, last = "", list(answers), ""
    deadline = time.monotonic() + 60
    try:
        while time.monotonic() < deadline:
            if not select.select([master], [], [], 1)[0]:
                if last == "\x03":  # Python's input() misses one that comes while readline starts; people press again
                    os.write(master, last.encode())
                continue
            try:
                piece = os.read(master, 4096).decode()
            except OSError:
                break
            screen += piece
            if screen.rstrip(" ").endswith(":") and piece.strip() and waiting:
                last = waiting.pop(0)
                os.write(master, last.encode())  # getpass asks once the echo is off and old input dropped
        else:
            os.kill(pid, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), screen
    finally:
        os.close(master)


def test_prompts_do_not_show_secrets(tmp_path):
    """On a terminal every question is asked, secrets are not shown, and the answers are stored."""
    status, screen = on_a_terminal(tmp_path, "CANARYKEY\n", "somebody\n", "CANARYPASS\n", "\n")
    assert status == 0, screen
    assert "CANARY" not in screen
    assert tomllib.loads(config_of(tmp_path).read_text())["password"] == "CANARYPASS"


def test_ctrl_c_changes_nothing(tmp_path):
    """Ctrl-C at a question: one line, status 1, no file."""
    status, screen = on_a_terminal(tmp_path, "CANARYKEY\n", "\x03")
    assert status == 1
    assert "interrupted" in screen
    assert "Traceback" not in screen
    assert not config_of(tmp_path).exists()


@pytest.mark.parametrize("text", ['apikey = """\nX"""\n', '"apikey" = "x"\nprofile.a.apikey = "y"\n', "a = [\n'x']\n"])
def test_forms_that_cannot_be_edited(text):
    """A file written in a form that lines cannot edit is refused, or edited so that a TOML parser agrees."""
    before = tomllib.loads(text)
    try:
        after = tomllib.loads(with_values(text, {"apikey": "new"}, profile=None))
    except (Failed, tomllib.TOMLDecodeError):
        return
    assert after == {**before, "apikey": "new"}
