"""Settings: precedence, refusals, slices, and the way to the daemon and back."""

import json
from pathlib import Path

import pytest

from cffs.core.errors import UsageError
from cffs.core.settings import Settings
from cffs.core.settings_options import RequestRate
from cffs.core.settings_resolve import Layers, Resolved, UserPaths, holds_secrets, resolve

HOME = Path("/home/someone")
USER_PATHS = UserPaths(
    home=HOME,
    working_folder=Path("/work"),
    config_file=HOME / "config.toml",
    cache_dir=HOME / ".cache/cffs",
    state_dir=HOME / ".state/cffs",
    runtime_dir=HOME / "run",
    uid=1000,
    gid=1001,
)


def resolved(options=None, environment=None, config=None, secrets=None) -> Resolved:
    layers = Layers(
        options=options or {},
        environment=environment or {},
        config=config or {},
        user_paths=USER_PATHS,
        read_secret=lambda path: (secrets or {})[str(path)],
    )
    return resolve(layers)


def settings(**layers) -> Settings:
    return resolved(**layers).settings


def refusal(**layers) -> str:
    with pytest.raises(UsageError) as caught:
        resolved(**layers)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_precedence():
    """Option beats environment beats profile beats config file beats default, and each source is remembered."""
    config = {"timeout": 1, "dir_ttl": 1, "connections": 1, "profile": {"a": {"timeout": 2, "dir_ttl": 2}}}
    environment = {"CFFS_TIMEOUT": "3", "CFFS_PROFILE": "a"}
    found = resolved(options={"timeout": "4"}, environment=environment, config=config)
    made = found.settings
    assert (made.timeout_seconds, made.dir_ttl_seconds, made.connections) == (4, 2, 1)
    assert found.sources["timeout"] == "option"
    assert found.sources["profile"] == "environment"
    assert found.sources["dir_ttl"] == "profile a"
    assert found.sources["connections"] == "config file"
    assert found.sources["timezone"] == "default"
    assert made.label == "a"


def test_nothing_given_is_the_contract():
    """With nothing given the settings are the documented defaults, at the paths that the process supplied."""
    made = settings()
    assert made.memory_nbytes == 64 * 2**20
    assert (made.timeout_seconds, made.dir_ttl_seconds, made.connections) == (30, 60, 16)
    assert (made.uid, made.gid, made.umask) == (1000, 1001, 0)
    assert made.cache_dir == USER_PATHS.cache_dir
    assert made.formats == ()
    with pytest.raises(UsageError, match="CFFS_APIKEY"):
        made.require_credentials()


def test_round_trip_through_json():
    """The daemon gets from the pipe what the command wrote, whatever is set."""
    environment = {"CFFS_APIKEY": "key", "CFFS_LOGIN": "me", "CFFS_PASSWORD": "pass", "CFFS_FORMATS": "mp3,wav"}
    environment["CFFS_RATE"] = "600/min"
    made = settings(environment=environment, options={"log_file": "~/x.log", "ca_bundle": "ca.pem", "debug": True})
    assert made.log_file == HOME / "x.log"
    assert made.ca_bundle == Path("/work/ca.pem")
    again = Settings.from_plain(json.loads(json.dumps(made.to_plain())))
    assert again == made
    assert again.formats == ("mp3", "wav")


def test_repr_shows_no_secret():
    """A settings value that gets into a log line shows no secret."""
    environment = {"CFFS_APIKEY": "CANARYKEY", "CFFS_LOGIN": "me", "CFFS_PASSWORD": "CANARYPASS"}
    assert "CANARY" not in repr(settings(environment=environment))


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ({"options": {"memory_size": "64K"}}, "give 1M or more"),
        ({"options": {"memory_size": "many"}}, "--memory-size: 'many' is not a size"),
        ({"options": {"timeout": "0"}}, "give 0.1 or more"),
        ({"options": {"timeout": "nan"}}, "not between"),
        ({"options": {"timeout": "inf"}}, "not between"),
        ({"options": {"connections": "0"}}, "from 1 to"),
        ({"options": {"v1_url": "http://example.com/1"}}, "--insecure-http"),
        ({"options": {"v2_url": "ftp://example.com"}}, "https"),
        ({"options": {"v2_url": "https://"}}, "https"),
        ({"config": {"timout": 3}}, "did you mean timeout"),
        ({"config": {"profile": {"a": {"nonsense": 1}}}}, "[profile.a]"),
        ({"config": {"profile": "a"}}, "--profile"),
        ({"options": {"profile": "b"}, "config": {"profile": {"a": {}}}}, "it has: a"),
        ({"config": {"cache_dir": "relative"}}, "from / or ~/"),
        ({"environment": {"CFFS_LOGIN": "x"}}, "CFFS_PASSWORD"),
        ({"environment": {"CFFS_ACCOUNT_PASSWORD": "x"}}, "CFFS_ACCOUNT_LOGIN"),
        ({"environment": {"CFFS_LOGIN": "a:b", "CFFS_PASSWORD": "x"}}, "colon"),
        ({"environment": {"CFFS_APIKEY": "x", "CFFS_APIKEY_FILE": "/k"}}, "keep one"),
        ({"environment": {"CFFS_OFFLINE": "perhaps"}}, "CFFS_OFFLINE"),
        ({"config": {"apikey": 5}}, "quotes"),
    ],
)
def test_refusals(layers, says):
    """Impossible settings are refused in one line that says what to do."""
    assert says in refusal(**layers)


@pytest.mark.parametrize("url", ["https://u:CANARY@h/x", "https://h/x?apikey=CANARY", "CANARY", "https://[CANARY/"])
def test_refused_urls_are_not_repeated(url):
    """A URL that may hold a secret is refused without being shown."""
    assert "CANARY" not in refusal(options={"v1_url": url})


@pytest.mark.parametrize("url", ["http://127.0.0.1:80/1", "http://localhost/1/", "http://[::1]:8/1"])
def test_plain_http_to_this_machine(url):
    """Plain http is allowed to loopback, and a base loses its trailing slash."""
    assert settings(options={"v1_url": url}).v1_url == url.rstrip("/")


def test_plain_http_when_asked_for():
    """--insecure-http allows plain http to another host."""
    assert settings(options={"v1_url": "http://h/1", "insecure_http": True}).origin().insecure_http


def test_secret_files():
    """A credential may come from a file, named in the environment or the config; the line's end is no part of it."""
    secrets = {"/run/key": "CANARY\n", "/home/someone/pw": "pw"}
    found = resolved(
        environment={"CFFS_APIKEY_FILE": "/run/key"}, config={"login": "me", "password_file": "~/pw"}, secrets=secrets
    )
    assert found.settings.credentials.apikey == "CANARY"
    assert found.settings.credentials.password == "pw"
    assert found.sources["apikey"] == "environment (file)"
    found.settings.require_credentials()


def test_secret_with_a_line_break():
    """A secret that could split a header is refused, and not shown."""
    message = refusal(environment={"CFFS_APIKEY_FILE": "/k"}, secrets={"/k": "CANARY\r\nX: y"})
    assert "CANARY" not in message


def test_config_secrets_are_noticed():
    """A secret at the top or in any profile makes a config file secret; the name of a secret's file does not."""
    assert holds_secrets({"apikey": "x"})
    assert holds_secrets({"profile": {"a": {"password": "x"}}})
    assert not holds_secrets({"apikey_file": "/x", "profile": {"a": {"timeout": 1}}})


def test_misspelt_variables_are_told():
    """A near miss of a variable gives a notice; a foreign CFFS_ variable does not."""
    found = resolved(environment={"CFFS_TIMEUOT": "3", "CFFS_TEST_IDENTITY": "root"})
    assert len(found.notices) == 1
    assert "CFFS_TIMEOUT" in found.notices[0]


def test_slices_carry_the_values():
    """Each floor's slice holds the values that were set."""
    made = settings(options={"umask": "027", "formats": "wav", "timeout": "5", "memory_size": "8M", "rate": "9/min"})
    assert made.fuse().umask == 0o027
    assert made.tree().formats == ("wav",)
    assert made.reader().memory_nbytes == 8 * 2**20
    assert made.origin().timeout_seconds == 5
    assert made.origin().rate == RequestRate(9, 60.0)
    assert settings().origin().rate is None


def test_who_checks_modes():
    """The kernel checks modes, except on a private writable mount, where EROFS must differ from EPERM."""
    assert settings().kernel_checks_modes
    assert not settings(options={"writable": True}).kernel_checks_modes
    assert settings(options={"writable": True, "allow_other": True}).kernel_checks_modes


def test_the_shared_server_may_hold_a_password():
    """The URL of --shared is kept whole and shown nowhere; a config file that holds its password holds a secret."""
    url = "redis://user:sEcReT@host:1/2"
    made = settings(environment={"CFFS_SHARED": url})
    assert made.shared == url
    assert "sEcReT" not in repr(made)
    assert Settings.from_plain(json.loads(json.dumps(made.to_plain()))) == made
    assert holds_secrets({"shared": url})
    assert holds_secrets({"profile": {"a": {"shared": url}}})
    assert not holds_secrets({"shared": "redis://user@host"})
    assert "sEcReT" not in refusal(options={"shared": url + "/3"})
    assert settings().shared is None
