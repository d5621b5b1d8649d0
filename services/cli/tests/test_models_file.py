"""models.toml as the commands change it."""

import tomllib
from pathlib import Path

import pytest

from synthbench.cli.models_file import ModelsFile
from synthbench.client.errors import CliError
from synthbench.embedded.datadir import DataDir

GIVEN = """# Ours.
[providers.lab]
kind = "openai" # like it
base_url = "http://10.0.0.5:8000/v1"

[models."lab/qwen"]
context = 32768

[routes.best]
strategy = "fallback"
models = ["lab/qwen"]
"""


@pytest.fixture
def file(tmp_path: Path) -> ModelsFile:
    path = tmp_path / "models.toml"
    path.write_text(GIVEN)
    return ModelsFile(path)


def test_adding_a_model_leaves_the_rest_as_it_was_written(file: ModelsFile):
    file.put("models", "lab/new", {"name": "New", "prices": {"input": 0.1, "output": 0.2}})
    file.write()
    text = file.path.read_text()
    assert text.startswith(GIVEN[: GIVEN.index("[models")])
    assert tomllib.loads(text)["models"]["lab/new"] == {"name": "New", "prices": {"input": 0.1, "output": 0.2}}
    assert tomllib.loads(text)["models"]["lab/qwen"] == {"context": 32768}


def test_removing_the_last_model_leaves_no_empty_table(file: ModelsFile):
    file.remove("models", "lab/qwen")
    file.remove("providers", "lab")
    file.write()
    assert set(tomllib.loads(file.path.read_text())) == {"routes"}


def test_a_route_names_its_models(file: ModelsFile):
    assert file.users_of("lab/qwen") == ["best"]
    assert file.users_of("lab/other") == []


def test_the_text_before_can_be_put_back(file: ModelsFile):
    file.put("models", "lab/new", {})
    file.write()
    file.write(file.before)
    assert file.path.read_text() == GIVEN


@pytest.mark.parametrize("name", ["", "a b", "../x", 'a"b'])
def test_what_is_no_name_is_refused(file: ModelsFile, name: str):
    with pytest.raises(CliError):
        file.put("models", name, {})


def test_a_file_that_is_no_toml_is_one_line(tmp_path: Path):
    path = tmp_path / "models.toml"
    path.write_text("[models")
    with pytest.raises(CliError, match="no TOML") as caught:
        ModelsFile(path)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("providers = 5\n", "providers"),
        ('[providers]\nlab = "x"\n', r"providers\.lab"),
        ("providers = [1]", "providers"),
    ],
)
def test_what_should_be_a_table_and_is_none_is_told_by_its_name(tmp_path: Path, text: str, shown: str):
    path = tmp_path / "models.toml"
    path.write_text(text)
    for change in (
        lambda file: file.put("providers", "lab", {"kind": "openai"}),
        lambda file: file.unset("providers", "lab", "kind"),
    ):
        with pytest.raises(CliError, match=rf"models\.toml: {shown} is no table; write it as \[{shown}\]"):
            change(ModelsFile(path))


def test_what_is_no_utf8_is_not_written_and_the_file_stays(file: ModelsFile):
    before = file.path.read_text()
    file.put("providers", "lab", {"api_key_file": "/keys/\udc80"})
    with pytest.raises(CliError, match=r"cannot be written: .* is no text in UTF-8"):
        file.write()
    assert file.path.read_text() == before
    assert [one.name for one in file.path.parent.iterdir()] == [file.path.name]


@pytest.mark.parametrize("name", ["lab", "a/b", "../../outside", "\0", "\udc80", "a_b"])
def test_the_key_of_a_provider_lies_among_the_secrets_whatever_its_name(tmp_path: Path, name: str):
    data = DataDir(tmp_path)
    path = data.provider_key(name)
    assert path.parent == data.sub("secrets")
    assert "\0" not in path.name
    assert path == path.resolve()


def test_two_providers_share_no_key(tmp_path: Path):
    data = DataDir(tmp_path)
    assert data.provider_key("a/b") != data.provider_key("a_b")
