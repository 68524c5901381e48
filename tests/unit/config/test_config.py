from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cloudkit import config
from cloudkit.config import configured_cloud, resolve
from cloudkit.errors import ConfigError, MissingExtra

LAB = """
    [clouds.lab]
    driver = "toy"
    host = "lab.example"
    project = "research"
    """


def refused(*args: Any, **kwargs: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(*args, **kwargs)
    return str(caught.value)


# ---------------------------------------------------------------- which cloud


def test_no_cloud_is_an_error_that_says_how() -> None:
    text = refused(None)
    assert "no cloud is named" in text
    assert "CLOUDKIT_CLOUD" in text
    assert "cloudkit.toml" in text
    assert configured_cloud() is None


def test_the_first_that_is_given_counts(toml: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    toml('default = "d"\n' + "".join(f'[clouds.{name}]\ndriver = "toy"\n' for name in "abcd"))
    assert resolve(None).name == "d"
    monkeypatch.setenv("OS_CLOUD", "c")
    assert resolve(None).name == "c"
    monkeypatch.setenv("CLOUDKIT_CLOUD", "b")
    assert resolve(None).name == "b"
    assert configured_cloud() == "b"
    assert resolve("a").name == "a"
    monkeypatch.setenv("CLOUDKIT_CLOUD", "")
    assert resolve(None).name == "c"


def test_the_default_may_be_a_url(toml: Any) -> None:
    toml('default = "toy://?port=5"')
    assert resolve(None).request.options["port"] == 5


def test_an_empty_name_is_refused() -> None:
    assert "cannot be empty" in refused("")


def test_an_unknown_profile_is_told_with_the_known_ones_and_who_named_it(
    toml: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = toml(LAB)
    monkeypatch.setenv("OS_CLOUD", "lob")
    text = refused(None)
    assert "there is no profile 'lob', which OS_CLOUD names" in text
    assert "Did you mean 'lab'? Known: lab." in text
    assert str(path) in text


def test_a_drivers_name_is_no_profile_but_the_hint_knows() -> None:
    assert "For the driver itself, write toy://." in refused("toy")


# ---------------------------------------------------------------- where the file is


def test_the_users_file_goes_before_the_working_folders(toml: Any) -> None:
    toml(LAB, Path("cloudkit.toml"))
    assert resolve("lab").request.project_id == "research"
    toml('[clouds.other]\ndriver = "toy"')
    assert "no profile 'lab'" in refused("lab")


def test_the_named_file_goes_before_all(toml: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toml('[clouds.other]\ndriver = "toy"')
    monkeypatch.setenv("CLOUDKIT_CONFIG", str(toml(LAB, tmp_path / "mine.toml")))
    assert resolve("lab").request.options["host"] == "lab.example"


def test_a_named_file_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDKIT_CONFIG", "/nowhere/cloudkit.toml")
    text = refused("lab")
    assert "/nowhere/cloudkit.toml: there is no such file" in text
    assert "CLOUDKIT_CONFIG" in text


def test_the_users_folder_without_platformdirs(toml: Any, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    toml(LAB)
    assert resolve("lab").name == "lab"
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative/is/to/be/ignored")
    assert resolve("lab").name == "lab"
    monkeypatch.setenv("HOME", str(home / "elsewhere"))
    assert "no profile" in refused("lab")


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_working_folders_file_that_others_can_write_is_refused(toml: Any, mode: int) -> None:
    toml(LAB, Path("cloudkit.toml")).chmod(mode)
    text = refused("lab")
    assert "not used, as it can be written by others" in text
    assert "chmod go-w" in text


def test_a_working_folders_file_of_another_user_is_refused(toml: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    toml(LAB, Path("cloudkit.toml"))
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert "not used, as it belongs to another user" in refused("lab")


def test_naming_a_file_says_that_it_is_trusted(toml: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    toml(LAB, Path("cloudkit.toml")).chmod(0o666)
    monkeypatch.setenv("CLOUDKIT_CONFIG", "cloudkit.toml")
    assert resolve("lab").name == "lab"


# ---------------------------------------------------------------- what the file says


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[clouds.lab]\ndriver = "toy', ":2: this is not TOML: "),
        ("[clouds.lab\n\n", ":1: this is not TOML: "),
        ('defualt = "lab"', "unknown key 'defualt'\n  Did you mean 'default'? Known: clouds, default."),
        ("default = 5", "default: a cloud's name is expected"),
        ("clouds = 5", "clouds: a table is expected"),
        ("[clouds]\nlab = 5", "clouds.lab: a table is expected"),
        ('[clouds."toy://x"]', "a profile's name cannot look like a URL"),
        ("[clouds.lab]", "clouds.lab: either driver or url is expected"),
        ('[clouds.lab]\ndriver = "toy"\nurl = "toy://"', "clouds.lab: either driver or url is expected"),
        ('[clouds.lab]\nurl = "toy://"\naddress = "x"', "clouds.lab: either driver or url is expected"),
        ("[clouds.lab]\ndriver = 5", "clouds.lab: driver: text is expected, not 5"),
        ('[clouds.lab]\nurl = "toy"', "clouds.lab: url: a URL is expected"),
        ('[clouds.lab]\nurl = "toy://?port=1"\nport = 2', "'port' is given in the url and beside it"),
        (
            '[clouds.lab]\ndriver = "toy"\nprot = 1',
            "the driver 'toy' has no option 'prot'\n  Did you mean",
        ),
        ('[clouds.lab]\ndriver = "toy"\nstroy = 1', "Did you mean 'story'?"),
        ('[clouds.lab]\ndriver = "toy"\nproject = 1', "clouds.lab: project: a name or id is expected, not 1"),
        (
            '[clouds.lab]\ndriver = "toy"\nport = 70000',
            "port: 70000 is not a valid value: it must be from 1",
        ),
        ('[clouds.lab]\ndriver = "toy"\nport = [1]', "port: [1] is not a valid value"),
        ('[clouds.lab]\ndriver = "toy"\nstory = 1', "clouds.lab: story: a table is expected"),
        ('[clouds.lab]\ndriver = "toy"\nstory.usr = "x"', "story: unknown key 'usr'\n  Did you mean 'user'?"),
        ('[clouds.lab]\ndriver = "toy"\nstory.user = 1', "story: user: 1 is not a valid value"),
    ],
)
def test_what_is_wrong_in_the_file_is_named_with_its_path(toml: Any, text: str, message: str) -> None:
    path = toml(text)
    told = refused("lab")
    assert message in told
    assert str(path) in told


def test_bytes_that_are_not_utf8(toml: Any) -> None:
    toml("").write_bytes(b'default = "\xff"')
    assert "this is not UTF-8" in refused("lab")


def test_a_file_that_cannot_be_read(toml: Any) -> None:
    toml.user_path.mkdir(parents=True)
    assert "cannot be read: Is a directory" in refused("lab")


def test_a_profile_with_driver_address_options_and_project(toml: Any) -> None:
    toml(LAB + 'address = "qemu:///system?socket=/x"\nport = "99"\n')
    request = resolve("lab").request
    assert request.address == "qemu:///system?socket=/x"
    assert request.options == {"host": "lab.example", "port": 99, "password": None, "pin_secret": None}
    assert (request.project_id, request.profile) == ("research", "lab")


def test_a_profile_with_a_url_and_options_beside_it(toml: Any) -> None:
    toml('[clouds.lab]\nurl = "toy+qemu:///system?port=5&project=p"\nhost = "h"')
    profile = resolve("lab")
    assert (profile.name, profile.request.address) == ("lab", "qemu:///system")
    assert (profile.request.options["port"], profile.request.options["host"]) == (5, "h")
    assert profile.request.project_id == "p"


def test_arguments_count_over_the_profile(toml: Any) -> None:
    toml(LAB)
    request = resolve("lab", project="mine", options={"host": "h", "port": None}).request
    assert (request.project_id, request.options["host"], request.options["port"]) == ("mine", "h", 4711)


def test_an_argument_that_is_no_option_is_refused(toml: Any) -> None:
    toml(LAB)
    assert "has no option 'hots'\n  Did you mean 'host'?" in refused("lab", options={"hots": 1})


def test_the_story_is_the_profiles_over_the_drivers(toml: Any) -> None:
    path = toml(LAB + '[clouds.lab.story]\nimage = "guest.img"\ndns = ["1.1.1.1"]\nuser = "cirros"\n')
    assert resolve("lab").story == {
        "user": "cirros",
        "external_network": "outside",
        "image": str(path.parent / "guest.img"),
        "dns": ["1.1.1.1"],
    }
    toml(LAB + '[clouds.lab.story]\nuser = "cirros"\n')
    assert resolve("lab").story == {"user": "cirros", "external_network": "outside"}
    assert resolve("toy://").story == {"user": "bear", "external_network": "outside"}


# ---------------------------------------------------------------- secrets


@pytest.mark.parametrize("key", ["password", "auth_token", "client_secret", "API_KEY"])
def test_a_secret_in_the_file_is_refused_and_not_shown(toml: Any, key: str) -> None:
    toml(LAB + f'{key} = "hunter2"')
    text = refused("lab")
    assert f"{key}: a secret cannot stand here" in text
    assert f"{key}_env" in text
    assert "hunter2" not in text


def test_a_secret_from_the_environment(toml: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    toml(LAB + 'password_env = "TOY_PASSWORD"')
    monkeypatch.setenv("TOY_PASSWORD", "hunter2")
    assert resolve("lab").request.options["password"] == "hunter2"
    monkeypatch.delenv("TOY_PASSWORD")
    assert "password_env: the environment variable 'TOY_PASSWORD' is not set" in refused("lab")


def test_a_secret_from_a_command_without_a_shell(toml: Any) -> None:
    toml(LAB + "password_command = ['printf', '%s\\n', 'hun ter2; $HOME']")
    assert resolve("lab").request.options["password"] == "hun ter2; $HOME"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("'printf x'", "a list of arguments is expected"),
        ("[]", "a list of arguments is expected"),
        ("['printf', 5]", "a list of arguments is expected"),
        ("['/nowhere/pass']", "'/nowhere/pass' cannot be run: No such file or directory"),
        ("['sh', '-c', 'echo hunter2; echo hunter2 >&2; exit 3']", "'sh' failed with status 3"),
        ("['true']", "'true' printed nothing"),
        ("['printf', '\\377']", "'printf' did not print text"),
    ],
)
def test_a_command_that_gives_no_secret(
    toml: Any, capfd: pytest.CaptureFixture[str], command: str, message: str
) -> None:
    toml(LAB + f"password_command = {command}")
    text = refused("lab")
    assert f"password_command: {message}" in text
    assert "hunter2" not in text + "".join(capfd.readouterr())


def test_a_command_that_hangs_is_ended(toml: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "COMMAND_TIMEOUT_S", 0.1)
    toml(LAB + "password_command = ['sleep', '60']")
    start = time.monotonic()
    assert "'sleep' did not end within 0.1 s" in refused("lab")
    assert time.monotonic() - start < 10


def test_a_secret_that_is_no_valid_value_is_not_shown(toml: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    toml(LAB + 'pin_secret_env = "TOY_PIN"')
    monkeypatch.setenv("TOY_PIN", "hunter2")
    with pytest.raises(ConfigError) as caught:
        resolve("lab")
    assert "pin_secret: this is not a valid value" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_one_secret_from_two_places_is_a_contradiction(toml: Any) -> None:
    toml(LAB + 'password_env = "A"\npassword_command = ["b"]')
    assert "password_env and password_command contradict each other" in refused("lab")


def test_an_argument_counts_over_a_profiles_command(toml: Any) -> None:
    toml(LAB + 'password_command = ["/nowhere/pass"]')
    assert resolve("lab", options={"password": "given"}).request.options["password"] == "given"


# ---------------------------------------------------------------- clouds.yaml


@pytest.fixture
def _yaml() -> None:
    pytest.importorskip("yaml", reason="PyYAML comes with the openstack extra")
    Path("clouds.yaml").write_text("clouds:\n  lab: {}\n  mordred: {}\n")


@pytest.mark.usefixtures("_yaml")
def test_a_name_in_both_files_is_an_error(toml: Any) -> None:
    path = toml(LAB)
    text = refused("lab")
    assert f"'lab' is in both {path} and {Path.cwd() / 'clouds.yaml'}" in text


@pytest.mark.usefixtures("_yaml")
def test_a_name_in_clouds_yaml_belongs_to_openstack() -> None:
    profile = resolve("mordred")
    assert (profile.name, profile.plugin.name, profile.request.address) == ("mordred", "openstack", "mordred")
    assert profile.plugin.extra == "openstack"


@pytest.mark.usefixtures("_yaml")
def test_names_of_clouds_yaml_are_suggested() -> None:
    assert "Did you mean 'mordred'?" in refused("modred")


@pytest.mark.usefixtures("_yaml")
def test_broken_yaml_tells_the_line_and_quotes_nothing() -> None:
    Path("clouds.yaml").write_text("clouds:\n  lab: {password: hunter2\n")
    text = refused("lab")
    assert "clouds.yaml:3: this is not YAML" in text
    assert "hunter2" not in text


@pytest.mark.usefixtures("_yaml")
def test_a_clouds_yaml_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    assert f"{Path('clouds.yaml').resolve()}: cannot be read: Permission denied" in refused("lab")


@pytest.mark.usefixtures("_yaml")
@pytest.mark.parametrize("content", ["", "5", "clouds: 5"])
def test_yaml_without_clouds_has_no_names(content: str) -> None:
    Path("clouds.yaml").write_text(content)
    assert "there is no profile 'lab'" in refused("lab")


def test_without_pyyaml_only_a_name_that_is_not_in_the_toml_needs_it(
    toml: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    named = tmp_path / "elsewhere.yaml"
    named.write_text("clouds: {mordred: {}}")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(named))
    toml(LAB)
    assert resolve("lab").name == "lab"
    with pytest.raises(MissingExtra, match=r"elsewhere\.yaml cannot be read without PyYAML") as caught:
        resolve("mordred")
    assert "cloudkit-sdk[openstack]" in caught.value.hint


def test_pyyaml_is_not_imported_where_there_is_no_clouds_yaml(toml: Any) -> None:
    path = toml('[clouds.lab]\ndriver = "fake"')
    code = "import sys; from cloudkit.config import resolve; resolve('lab'); print('yaml' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "CLOUDKIT_CONFIG": str(path)}, capture_output=True, text=True
    )
    assert done.stdout == "False\n", done.stderr
