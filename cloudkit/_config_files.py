"""Where profiles are kept: cloudkit.toml, and the names in OpenStack's clouds.yaml.

cloudkit.toml is read from ``CLOUDKIT_CONFIG``, else from the user's configuration folder, else from the working
folder. A profile may name a command that is run (``password_command``), so a file in the working folder is
trusted only if nobody but the user can have written it; what is not trusted is an error, for silently using
another cloud than the one that stands there would be worse.
"""

from __future__ import annotations

import importlib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

from cloudkit._suggest import suggest
from cloudkit.errors import ConfigError, MissingExtra

FILE_NAME = "cloudkit.toml"
_TOP_LEVEL_KEYS = ("clouds", "default")


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A cloudkit.toml as it stands: ``clouds`` are its tables, not looked at any further."""

    path: Path
    default: str | None
    clouds: Mapping[str, Mapping[str, Any]]


def find_config_file() -> ConfigFile | None:
    """The cloudkit.toml that counts, or None where there is none.

    Raises:
        ConfigError: it cannot be read, is not TOML, has keys that mean nothing, or is not to be trusted.
    """
    named = os.environ.get("CLOUDKIT_CONFIG")
    if named:
        path = Path(named).expanduser()
        if not path.exists():
            raise ConfigError(f"{path}: there is no such file", hint="CLOUDKIT_CONFIG names it; correct or unset it.")
        return _read(path)
    path = user_config_path()
    if path.exists():
        return _read(path)
    path = Path.cwd() / FILE_NAME
    return _read(path, check_owner=True) if path.exists() else None


def user_config_path() -> Path:
    """Where the user's own cloudkit.toml belongs, whether it is there or not."""
    try:
        from platformdirs import user_config_path
    except ImportError:
        base = os.environ.get("XDG_CONFIG_HOME", "")
        folder = Path(base) if os.path.isabs(base) else Path.home() / ".config"
        return folder / "cloudkit" / FILE_NAME
    return user_config_path("cloudkit") / FILE_NAME


def clouds_yaml_names() -> frozenset[str] | None:
    """The names in clouds.yaml, or None where there is one that cannot be read for want of PyYAML.

    Raises:
        ConfigError: it cannot be read or is not YAML.
    """
    path = find_clouds_yaml()
    if path is None:
        return frozenset()
    try:
        yaml: Any = importlib.import_module("yaml")
    except ImportError:
        return None
    try:
        with path.open("rb") as file:
            content: Any = yaml.safe_load(file)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        # No `from`: the parser quotes the line, which may hold a password.
        raise ConfigError(f"{path}{line}: this is not YAML: {getattr(error, 'problem', None) or 'no text'}") from None
    clouds = content.get("clouds") if is_table(content) else None
    return frozenset(map(str, clouds)) if is_table(clouds) else frozenset()


def find_clouds_yaml() -> Path | None:
    """The clouds.yaml that openstacksdk would read (openstack.config.loader, CONFIG_SEARCH_PATH)."""
    named = os.environ.get("OS_CLIENT_CONFIG_FILE")
    folders = (Path.cwd(), user_config_path().parent.parent / "openstack", Path.home() / ".config/openstack")
    candidates = [
        *([Path(named).expanduser()] if named else []),
        *(folder / f"clouds.{suffix}" for folder in (*folders, Path("/etc/openstack")) for suffix in ("yaml", "yml")),
    ]
    return next((path for path in candidates if path.is_file()), None)


def is_table(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a value of a TOML or YAML file is a table."""
    return isinstance(value, dict)


def _read(path: Path, check_owner: bool = False) -> ConfigFile:
    import tomllib

    try:
        with path.open("rb") as file:
            if check_owner:
                _require_own(path, file)
            text = file.read().decode()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: this is not UTF-8, as TOML has to be") from error
    try:
        return _checked(path, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        found = re.fullmatch(r"(?P<what>.*?) \(at (?:line (?P<line>\d+), column \d+|end of document)\)", str(error))
        what, line = (found["what"], found["line"]) if found else (str(error), None)
        raise ConfigError(f"{path}:{line or len(text.splitlines())}: this is not TOML: {what}") from error


def _require_own(path: Path, file: BinaryIO) -> None:
    # The open file is looked at, not the path, which may name another one by now.
    status = os.fstat(file.fileno())
    if status.st_uid != os.geteuid():
        problem = "belongs to another user"
    elif status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        problem = "can be written by others"
    else:
        return
    raise ConfigError(
        f"{path}: not used, as it {problem}",
        hint=f"If you trust it, set CLOUDKIT_CONFIG={FILE_NAME}, or make it yours alone: chmod go-w {FILE_NAME}.",
    )


def _checked(path: Path, content: dict[str, Any]) -> ConfigFile:
    for key in content:
        if key not in _TOP_LEVEL_KEYS:
            raise ConfigError(f"{path}: unknown key {key!r}", hint=suggest(key, _TOP_LEVEL_KEYS))
    default = content.get("default")
    if default is not None and not (isinstance(default, str) and default):
        raise ConfigError(f"{path}: default: a cloud's name is expected", hint='For example: default = "lab"')
    clouds = content.get("clouds", {})
    if not is_table(clouds):
        raise ConfigError(f"{path}: clouds: a table is expected", hint="For example: [clouds.lab]")
    for name, table in clouds.items():
        if not is_table(table):
            raise ConfigError(f"{path}: clouds.{name}: a table is expected", hint=f"For example: [clouds.{name}]")
        if "://" in name:
            raise ConfigError(f"{path}: clouds.{name!r}: a profile's name cannot look like a URL")
    return ConfigFile(path, default, clouds)


def missing_yaml(name: str) -> MissingExtra:
    """The error for a name that may stand in a clouds.yaml that cannot be read."""
    return MissingExtra(
        f"{name!r} is in no cloudkit.toml, and {find_clouds_yaml()} cannot be read without PyYAML",
        hint="Run: pip install 'cloudkit-sdk[openstack]'",
    )
