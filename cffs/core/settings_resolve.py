"""Resolution of settings: option, environment, profile, config file, default.

It owns which layer wins, and the record of where each value came from. It must not read anything itself: the layers are
passed in as mappings, with a function that reads a secret's file.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cffs.core.errors import UsageError
from cffs.core.server_url import secret_in
from cffs.core.settings import Credentials, Settings
from cffs.core.settings_options import BY_NAME, CREDENTIALS, OPTIONS, Option, OptionKind, Value, parse

#: A secret becomes a header or a query value; a longer one is a mistake, such as a whole file pasted.
MAX_SECRET_CHARACTERS = 4096
_SECRET_KEYS = frozenset(CREDENTIALS) | frozenset(f"{name}_file" for name in CREDENTIALS)
#: These options choose the config file and the profile in it, so neither can hold them.
_NOT_IN_CONFIG = frozenset({"config", "profile"})


@dataclass(frozen=True, slots=True, kw_only=True)
class UserPaths:
    """What the process supplies: the folder where relative paths start (None where the current folder is gone), and the
    defaults that are not constants."""

    home: Path
    working_folder: Path | None
    config_file: Path
    cache_dir: Path
    state_dir: Path
    runtime_dir: Path
    uid: int
    gid: int
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """The raw layers. `options` holds only the options given; `read_secret` raises UsageError where it cannot read."""

    options: Mapping[str, object]
    environment: Mapping[str, str]
    config: Mapping[str, object]
    user_paths: UserPaths
    read_secret: Callable[[Path], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The settings, where each option and credential came from, and lines for the user."""

    settings: Settings
    sources: Mapping[str, str]
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Layer:
    """One layer. `spell` gives an option's name as the user of that layer writes it."""

    title: str
    values: Mapping[str, object]
    spell: Callable[[str], str]
    relative_paths: bool


def resolve(layers: Layers, *, foreground: bool = False) -> Resolved:
    """The settings from all layers. Raises UsageError: one line that says what is wrong and what to do."""
    stack = _stack(layers)
    values: dict[str, Value | Path] = {}
    sources: dict[str, str] = {}
    for option in OPTIONS:
        values[option.field], sources[option.name] = _resolve_option(option, stack, layers.user_paths)
    secrets = {}
    for name in CREDENTIALS:
        secrets[name], sources[name] = _resolve_secret(name, stack, layers)
    for name in ("login", "account_login"):
        if ":" in (secrets[name] or ""):
            raise UsageError(f"{name} holds a colon, which no login may")
    user_paths = layers.user_paths
    defaults: dict[str, Value | Path] = {
        "cache_dir": user_paths.cache_dir,
        "uid": user_paths.uid,
        "gid": user_paths.gid,
        "config": user_paths.config_file,
        "timezone": user_paths.timezone,
    }
    for name, default in defaults.items():
        values[name] = default if values[name] is None else values[name]
    settings = Settings(
        credentials=Credentials(**secrets),
        state_dir=user_paths.state_dir,
        runtime_dir=user_paths.runtime_dir,
        foreground=foreground,
        **values,  # type: ignore[arg-type]  # each parser of the table gives the type of its field; tests hold it
    )
    return Resolved(settings=settings, sources=sources, notices=tuple(_unknown_variables(layers.environment)))


def holds_secrets(config: Mapping[str, object]) -> bool:
    """True when a parsed config file itself holds a credential, at its top or in any profile."""
    tables = [config, *(table for table in _profiles(config).values() if isinstance(table, Mapping))]
    return any(name in table for table in tables for name in CREDENTIALS) or any(
        secret_in(str(table.get("shared", ""))) for table in tables
    )


def _stack(layers: Layers) -> tuple[_Layer, ...]:
    environment = {
        name.removeprefix("CFFS_").lower(): value
        for name, value in layers.environment.items()
        if name.startswith("CFFS_") and name.isupper() and value.strip()
    }
    profiles = _profiles(layers.config)
    top = {name: value for name, value in layers.config.items() if name != "profile"}
    _refuse_unknown(top, where="the config file")
    option = _Layer("option", layers.options, lambda name: BY_NAME[name].flag, True)
    variables = _Layer("environment", environment, lambda name: f"CFFS_{name.upper()}", True)
    file = _Layer("config file", top, lambda name: f"{name} in the config file", False)
    chosen, _ = _resolve_option(BY_NAME["profile"], (option, variables, file), layers.user_paths)
    for name, table in profiles.items():
        if not isinstance(table, Mapping):
            raise UsageError(f"profile.{name} in the config file is not a table; write [profile.{name}]")
        _refuse_unknown(table, where=f"[profile.{name}] of the config file")
    if chosen is None:
        return option, variables, file
    table = profiles.get(str(chosen))
    if not isinstance(table, Mapping):
        known = ", ".join(sorted(profiles)) or "none"
        raise UsageError(f"no profile {chosen} in {layers.user_paths.config_file}; it has: {known}")
    profile = _Layer(f"profile {chosen}", table, lambda name: f"{name} in [profile.{chosen}]", False)
    return option, variables, profile, file


def _profiles(config: Mapping[str, object]) -> Mapping[str, object]:
    tables = config.get("profile", {})
    if not isinstance(tables, Mapping):
        raise UsageError("profile in the config file is not a table; write [profile.NAME], and choose with --profile")
    return tables


def _refuse_unknown(table: Mapping[str, object], *, where: str) -> None:
    known = (BY_NAME.keys() | _SECRET_KEYS) - _NOT_IN_CONFIG
    for name in table:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            hint = f"; did you mean {near[0]}" if near else ""
            raise UsageError(f"{where} holds an unknown key {name!r}{hint}")


def _unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Notices of variables nearly named like an option's, which are typing errors; other CFFS_ variables are left."""
    known = {f"CFFS_{name.upper()}" for name in (*BY_NAME, *_SECRET_KEYS)}
    notices = []
    for name in environment:
        if name.startswith("CFFS_") and name not in known:
            near = difflib.get_close_matches(name, known, 1, cutoff=0.85)
            if near:
                notices.append(f"{name} is no option and is ignored; did you mean {near[0]}")
    return notices


def _resolve_option(option: Option, stack: tuple[_Layer, ...], user_paths: UserPaths) -> tuple[Value | Path, str]:
    layer = next((layer for layer in stack if option.name in layer.values), None)
    raw: object = layer.values[option.name] if layer else option.default
    spelt = layer.spell(option.name) if layer else option.flag
    try:
        value = parse(option, raw)
    except UsageError as error:
        raise UsageError(f"{spelt}: {error}") from error
    source = layer.title if layer else "default"
    if option.kind is not OptionKind.PATH or not isinstance(value, str):
        return value, source
    return _absolute(value, spelt=spelt, relative=layer is None or layer.relative_paths, user_paths=user_paths), source


def _absolute(text: str, *, spelt: str, relative: bool, user_paths: UserPaths) -> Path:
    if text == "~" or text.startswith("~/"):
        return user_paths.home / text[2:]
    path = Path(text)
    if not path.is_absolute() and not relative:
        raise UsageError(f"{spelt}: {text} is relative; write it from / or ~/")
    if path.is_absolute():
        return path
    if user_paths.working_folder is None:
        raise UsageError(f"{spelt}: {text} is relative, and the current folder is gone; write it from /")
    return user_paths.working_folder / path


def _resolve_secret(name: str, stack: tuple[_Layer, ...], layers: Layers) -> tuple[str | None, str]:
    for layer in stack:
        named = f"{name}_file"
        if layer.title == "option" or not (name in layer.values or named in layer.values):
            continue
        if name in layer.values and named in layer.values:
            raise UsageError(f"{layer.spell(name)} and {layer.spell(named)} are both set; keep one")
        if name in layer.values:
            spelt, text, source = layer.spell(name), layer.values[name], layer.title
        else:
            spelt, source = layer.spell(named), f"{layer.title} (file)"
            path = _absolute(
                str(layer.values[named]), spelt=spelt, relative=layer.relative_paths, user_paths=layers.user_paths
            )
            text = layers.read_secret(path)
        return _secret(text, spelt=spelt), source
    return None, "not set"


def _secret(text: object, *, spelt: str) -> str:
    if not isinstance(text, str):
        raise UsageError(f"{spelt}: must be text in quotes")
    secret = text.strip()
    if not secret:
        raise UsageError(f"{spelt}: is empty")
    if len(secret) > MAX_SECRET_CHARACTERS or any(ord(character) < 32 or ord(character) == 127 for character in secret):
        raise UsageError(f"{spelt}: must be one line of at most {MAX_SECRET_CHARACTERS} characters")
    return secret
