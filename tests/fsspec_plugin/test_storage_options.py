"""Storage options: those of a mount, and no credential."""

import os

import pytest

from cffs.core.settings_options import BY_NAME, CREDENTIALS
from cffs.fsspec_plugin.filesystem import CallFireFileSystem
from cffs.fsspec_plugin.storage_options import checked, has_meaning
from tests.canary import CANARIES

SECRET = "a-secret-value"


@pytest.mark.parametrize("name", [*CREDENTIALS, *(f"{name}_file" for name in CREDENTIALS)])
def test_credentials_are_refused(name):
    """A credential, or where one lies, is no storage option; the message says what to do and shows nothing."""
    with pytest.raises(ValueError, match="pickles and task graphs") as raised:
        CallFireFileSystem(**{name: SECRET})
    assert f"CFFS_{name.upper()}" in str(raised.value)
    assert SECRET not in str(raised.value)


def test_credentials_in_urls_are_refused():
    """A URL with a password in it is no base of an API."""
    with pytest.raises(ValueError, match="holds a name or password") as raised:
        CallFireFileSystem(v2_url=f"https://me:{SECRET}@api.callfire.com/v2")
    assert SECRET not in str(raised.value)


def test_password_of_the_shared_server_is_refused():
    """The address of a server is an option, its password is none."""
    assert checked({"shared": "redis://user@10.0.0.5"}).given == (("shared", "redis://user@10.0.0.5"),)
    with pytest.raises(ValueError, match="set CFFS_SHARED where the files are read") as raised:
        CallFireFileSystem(shared=f"rediss://user:{SECRET}@10.0.0.5:6379/0")
    assert SECRET not in str(raised.value)


def test_unknown_options_are_refused():
    """A typing error is found where it was made, with the option that was meant."""
    with pytest.raises(TypeError, match="did you mean memory_size") as raised:
        CallFireFileSystem(memry_size=SECRET)
    assert SECRET not in str(raised.value)


def test_tables_for_other_protocols_are_passed_over():
    """Hugging Face datasets hands every protocol the options of all; a table of no protocol is a typing error."""
    assert checked({"hf": {"token": SECRET}, "timeout": 5}).given == (("timeout", 5),)
    with pytest.raises(TypeError, match="no storage option 'no-protocol'"):
        checked({"no-protocol": {}})


def test_values_are_checked_as_a_mount_checks_them():
    """A value that a mount refuses is refused by the constructor."""
    with pytest.raises(ValueError, match="is not a size"):
        CallFireFileSystem(memory_size="much")


@pytest.mark.parametrize(
    "name", ["writable", "allow_other", "notes", "umask", "uid", "log_file", "audit_log", "xattrs"]
)
def test_options_of_mounts_alone_are_refused(name):
    """What changes nothing here is refused, so that no program believes that it did."""
    with pytest.raises(ValueError, match="only a mount has this option"):
        CallFireFileSystem(**{name: "1"})


def test_options_that_choose_and_fetch_are_accepted():
    """Every option of the service, the reader, the cache and the tree is one here."""
    meant = {name for name, option in BY_NAME.items() if has_meaning(option)}
    assert {"profile", "config", "v1_url", "memory_size", "cache_size", "timeout", "connections", "names"} <= meant
    assert checked({"timeout": 5, "names": "ids", "skip_instance_cache": True}).given == (
        ("names", "ids"),
        ("timeout", 5),
    )


def test_settings_come_from_the_process_that_reads(monkeypatch, options, tmp_path):
    """Environment and config file supply what the options leave out; what only mounts do stays off."""
    of_mounts = {"WRITABLE": "yes", "NOTES": str(tmp_path), "CACHE_SIZE": "1G", "UID": "12345"}
    for name, value in (of_mounts | {"MEMORY_SIZE": "16M"}).items():
        monkeypatch.setenv(f"CFFS_{name}", value)
    settings = checked(options).settings()
    assert settings.memory_nbytes == 16 * 2**20
    assert not settings.writable
    assert settings.notes is None
    assert settings.cache_nbytes == 0
    assert settings.uid == os.geteuid()
    assert checked(options | {"cache_size": "64M"}).settings().cache_nbytes == 64 * 2**20
    assert checked(options | {"memory_size": "32M"}).settings().memory_nbytes == 32 * 2**20


def test_profile_of_a_config_file(monkeypatch, options, tmp_path):
    """`config` and `profile` choose the account; a config that others can read is not used."""
    for name in ("APIKEY", "LOGIN", "PASSWORD"):
        monkeypatch.delenv(f"CFFS_{name}")
    config = tmp_path / "config.toml"
    config.write_text(f'[profile.support]\napikey = {CANARIES.apikey!r}\nmemory_size = "16M"\n')
    config.chmod(0o600)
    chosen = options | {"config": str(config), "profile": "support"}
    assert checked(chosen).settings().credentials.apikey == CANARIES.apikey
    assert checked(chosen).settings().memory_nbytes == 16 * 2**20
    with pytest.raises(ValueError, match="no profile sales"):
        checked(chosen | {"profile": "sales"}).settings()
    config.chmod(0o644)
    with pytest.raises(ValueError, match="run: chmod 600"):
        checked(chosen).settings()


def test_missing_credentials_are_reported_at_the_first_call(monkeypatch, options):
    """A scheduler without credentials can make an instance and send it; only reading needs them."""
    for name in ("APIKEY", "LOGIN", "PASSWORD"):
        monkeypatch.delenv(f"CFFS_{name}")
    fs = CallFireFileSystem(**options, timeout=9)
    with pytest.raises(ValueError, match="no credentials"):
        fs.ls("")
