"""Which cloud: profiles of cloudkit.toml, names of clouds.yaml, URLs, and the environment.

The first that is given counts: the argument, ``CLOUDKIT_CLOUD``, ``OS_CLOUD``, ``default`` in cloudkit.toml.
Where none is, that is an error: there is no cloud that cloudkit takes by itself.

    default = "lab"

    [clouds.lab]
    driver = "libvirt"                      # or: url = "libvirt+qemu:///system"
    uri = "qemu:///system"                  # the driver's options stand beside it
    project = "default"

    [clouds.lab.story]                      # what `cloudkit demo` uses here
    image = "cirros.qcow2"                  # relative to this file
    user = "cirros"
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, cast

from cloudkit._config_files import (
    ConfigFile,
    clouds_yaml_names,
    find_clouds_yaml,
    find_config_file,
    is_table,
    missing_yaml,
    user_config_path,
)
from cloudkit._config_url import parse_url
from cloudkit._plugins import known_drivers, load_plugin
from cloudkit._suggest import suggest
from cloudkit.driver import DriverPlugin, OpenRequest, Option
from cloudkit.errors import ConfigError

STORY_KEYS: Mapping[str, type | tuple[type, ...]] = {
    "image": str,
    "user": str,
    "flavor": str,
    "external_network": str,
    "cidr": str,
    "dns": list,
    "timeout_s": (int, float),
}
"""What a profile's ``[story]`` table may say; see :mod:`cloudkit.cli.story` for their meaning."""

COMMAND_TIMEOUT_S = 30
"""How long a ``…_command`` may take to print the secret; a password manager may ask for its own first."""

_PROFILE_KEYS = ("address", "driver", "project", "story", "url")
_SECRET = re.compile(r"(?:^|_)(?:password|passwd|passphrase|token|secret|api_key|private_key)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Profile:
    """A cloud, ready to be opened.

    Attributes:
        name: of the profile, or the URL without its query.
        story: what the demo uses: the profile's ``[story]`` table over the driver's own values.
    """

    name: str
    plugin: DriverPlugin
    request: OpenRequest
    story: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Draft:
    """What the configuration says, before the driver's options were looked at. ``where`` begins messages."""

    name: str
    where: str
    plugin: DriverPlugin
    address: str
    options: Mapping[str, Any]
    project: Any = None
    story: Any = None
    folder: Path | None = None


def resolve(cloud: str | None, *, project: str | None = None, options: Mapping[str, Any] | None = None) -> Profile:
    """The profile of ``cloud``: a name or a URL, or None for the configured one.

    ``project`` and ``options`` count over what the profile says.

    Raises:
        ConfigError: no cloud is named, or the one that is named is unknown or has settings that are wrong.
    """
    origin = ""
    if cloud is None:
        cloud, origin = _configured() or _refuse_silence()
    if not cloud:
        raise ConfigError("a cloud's name cannot be empty", hint="Leave it out to take the configured one.")
    draft = _from_url(cloud) if "://" in cloud else _from_files(cloud, origin)
    project_id: Any = draft.project if project is None else project
    if project_id is not None and not (isinstance(project_id, str) and project_id):
        raise ConfigError(f"{draft.where}: project: a name or id is expected, not {project_id!r}")
    plugin = draft.plugin
    request = OpenRequest(
        address=draft.address,
        options=_options(draft, {key: value for key, value in (options or {}).items() if value is not None}),
        project_id=project_id,
        profile=draft.name,
    )
    story = {key: value for key, value in plugin.story.items() if value is not None}
    return Profile(draft.name, plugin, request, story | _story(draft))


def configured_cloud() -> str | None:
    """The cloud that environment and cloudkit.toml name, or None."""
    configured = _configured()
    return configured[0] if configured else None


# ---------------------------------------------------------------- where the profile stands


def _configured() -> tuple[str, str] | None:
    for variable in ("CLOUDKIT_CLOUD", "OS_CLOUD"):
        if name := os.environ.get(variable):
            return name, f", which {variable} names"
    file = find_config_file()
    return (file.default, f", the default of {file.path}") if file and file.default else None


def _refuse_silence() -> NoReturn:
    raise ConfigError(
        "no cloud is named",
        hint="Name a profile or a URL (as fake://) in the call, in the environment variable CLOUDKIT_CLOUD, or as "
        f'default = "…" in {user_config_path()}.',
    )


def _from_url(url: str, where: str = "") -> _Draft:
    parts = parse_url(url)
    where = where or parts.name
    plugin = load_plugin(parts.driver)
    options: dict[str, Any] = {}
    own: list[str] = []
    for key, value, pair in parts.query:
        _refuse_secret(where, key)
        if key in plugin.address_query:
            own.append(pair)
        else:
            options[key] = value
    address = f"{parts.address}?{'&'.join(own)}" if own else parts.address
    return _Draft(parts.name, where, plugin, address, options, options.pop("project", None))


def _from_files(name: str, origin: str) -> _Draft:
    file = find_config_file()
    known: Mapping[str, Any] = file.clouds if file else {}
    in_yaml = clouds_yaml_names()
    if name in known and file:
        if in_yaml and name in in_yaml:
            raise ConfigError(
                f"{name!r} is in both {file.path} and {find_clouds_yaml()}",
                hint="Rename one: a name means one cloud.",
            )
        return _from_table(file, name)
    if in_yaml is None:
        raise missing_yaml(name)
    if name in in_yaml:
        return _Draft(name, f"{find_clouds_yaml()}: {name}", load_plugin("openstack"), name, {})
    driver = f"For the driver itself, write {name}://. " if name in known_drivers() else ""
    where = file.path if file else user_config_path()
    raise ConfigError(
        f"there is no profile {name!r}{origin}",
        hint=f"{driver}{suggest(name, {*known, *in_yaml})} Profiles stand in {where}, as [clouds.{name}].",
    )


def _from_table(file: ConfigFile, name: str) -> _Draft:
    where = f"{file.path}: clouds.{name}"
    table = dict(file.clouds[name])
    for key in table:
        _refuse_secret(where, key)
    url, driver, address = (_text(where, table, key) for key in ("url", "driver", "address"))
    project, story = table.pop("project", None), table.pop("story", None)
    if url and not (driver or address):
        if "://" not in url:
            raise ConfigError(f"{where}: url: a URL is expected, as fake://")
        draft = _from_url(url, where)
        if twice := draft.options.keys() & table.keys():
            raise ConfigError(f"{where}: {min(twice)!r} is given in the url and beside it")
        plugin, address, table = draft.plugin, draft.address, {**draft.options, **table}
        project = draft.project if project is None else project
    elif driver and not url:
        plugin = load_plugin(driver)
    else:
        raise ConfigError(f"{where}: either driver or url is expected", hint='For example: driver = "fake"')
    return _Draft(name, where, plugin, address or "", table, project, story, file.path.parent)


def _text(where: str, table: dict[str, Any], key: str) -> str | None:
    value = table.pop(key, None)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"{where}: {key}: text is expected, not {value!r}")
    return value


# ---------------------------------------------------------------- the driver's options


def _options(draft: _Draft, arguments: Mapping[str, Any]) -> dict[str, Any]:
    known = {option.name: option for option in draft.plugin.options}
    given = _by_option(draft, known, draft.options) | _by_option(draft, known, arguments)
    return {
        name: _parsed(draft, option, _fetched(draft, name, *given[name])) if name in given else option.default
        for name, option in known.items()
    }


def _by_option(draft: _Draft, known: Mapping[str, Option], settings: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    found: dict[str, tuple[str, Any]] = {}
    for key, value in settings.items():
        names = [name for name in (key, key.removesuffix("_env"), key.removesuffix("_command")) if name in known]
        if not names:
            words = known if draft.folder is None else [*known, *_PROFILE_KEYS]
            raise ConfigError(
                f"{draft.where}: the driver {draft.plugin.name!r} has no option {key!r}", hint=suggest(key, words)
            )
        if names[0] in found:
            raise ConfigError(
                f"{draft.where}: {found[names[0]][0]} and {key} contradict each other: give one of them"
            )
        found[names[0]] = key, value
    return found


def _parsed(draft: _Draft, option: Option, value: Any) -> Any:
    try:
        return option.parse(value)
    except (ValueError, TypeError) as error:
        if _SECRET.search(option.name):
            # No `from`: the reason may quote the value.
            raise ConfigError(f"{draft.where}: {option.name}: this is not a valid value", hint=option.help) from None
        raise ConfigError(
            f"{draft.where}: {option.name}: {value!r} is not a valid value: {error}", hint=f"Expected: {option.help}."
        ) from error


def _refuse_secret(where: str, key: str) -> None:
    if _SECRET.search(key):
        raise ConfigError(
            f"{where}: {key}: a secret cannot stand here",
            hint=f"Say where it is: {key}_env names an environment variable, and in cloudkit.toml {key}_command is "
            "a list of arguments of a command that prints it.",
        )


def _fetched(draft: _Draft, name: str, key: str, value: Any) -> Any:
    if key == name:
        return value
    where = f"{draft.where}: {key}"
    return _from_environment(where, value) if key == f"{name}_env" else _from_command(where, value)


def _from_environment(where: str, variable: Any) -> str:
    value = os.environ.get(variable) if isinstance(variable, str) else None
    if value is None:
        raise ConfigError(f"{where}: the environment variable {variable!r} is not set")
    return value


def _from_command(where: str, arguments: Any) -> str:
    import subprocess

    if not (
        isinstance(arguments, list) and arguments and all(isinstance(part, str) for part in cast(Any, arguments))
    ):
        raise ConfigError(f"{where}: a list of arguments is expected", hint='For example: ["pass", "show", "lab"]')
    command = cast("list[str]", arguments)
    try:
        # What it prints is a secret, and its complaints may quote it: neither is shown.
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
    except OSError as error:
        raise ConfigError(f"{where}: {command[0]!r} cannot be run: {error.strerror}") from error
    except subprocess.TimeoutExpired:
        raise ConfigError(f"{where}: {command[0]!r} did not end within {COMMAND_TIMEOUT_S} s") from None
    try:
        value = done.stdout.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ConfigError(f"{where}: {command[0]!r} did not print text") from None
    if done.returncode or not value:
        reason = f"failed with status {done.returncode}" if done.returncode else "printed nothing"
        raise ConfigError(f"{where}: {command[0]!r} {reason}", hint="Run it by hand to see why.")
    return value


# ---------------------------------------------------------------- the demo's settings


def _story(draft: _Draft) -> dict[str, Any]:
    where = f"{draft.where}: story"
    if draft.story is None:
        return {}
    if not is_table(draft.story):
        raise ConfigError(f"{where}: a table is expected", hint=f"For example: [clouds.{draft.name}.story]")
    story = dict(draft.story)
    for key, value in story.items():
        if key not in STORY_KEYS:
            raise ConfigError(f"{where}: unknown key {key!r}", hint=suggest(key, STORY_KEYS))
        if not isinstance(value, STORY_KEYS[key]):
            raise ConfigError(f"{where}: {key}: {value!r} is not a valid value")
    if "image" in story and draft.folder is not None:
        story["image"] = str(draft.folder / Path(story["image"]).expanduser())
    return story
