"""`config show`: every setting of every service, and where it came from."""

import importlib
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager

from cyclopts import App

from synthbench.chassis.errors import SettingsError
from synthbench.chassis.settings import PREFIX, Settings, explain_settings, load_settings
from synthbench.cli import console
from synthbench.client.errors import CliError
from synthbench.contracts.registry import Service
from synthbench.embedded.datadir import default_data_dir
from synthbench.embedded.layout import SERVICES, artifacts_of, executor_folders, module_of
from synthbench.embedded.stack import remote_endpoints

app = App(name="config", help="Settings.")


@app.command
def show(service: str | None = None, /) -> None:
    """Show settings as services read them from here: environment, *_FILE variables, synth-bench.toml, defaults.

    Folders are shown as the embedded stack sets them, unless the environment names another stack.

    Args:
        service: Only of this one.
    """
    wanted = [one for one in SERVICES if service in (None, str(one), str(one).replace("_", "-"))]
    if not wanted:
        raise CliError(f"there is no service {service!r}; there are {', '.join(map(str, SERVICES))}")
    data = default_data_dir()
    folders = {} if remote_endpoints() else executor_folders(data) | {"SYNTHBENCH_ARTIFACTS_URL": artifacts_of(data)}
    ours = {name: value for name, value in folders.items() if name not in os.environ or name.endswith("_URL")}
    with _variables(ours):
        rows = [row for one in wanted for row in _rows(one, ours, f"embedded stack in {data}")]
    console.table(["service", "setting", "value", "from"], rows)
    console.say("the embedded stack sets addresses, users and passwords by itself")


def _rows(service: Service, ours: Mapping[str, str], source: str) -> list[list[str]]:
    """Return service, setting, value and source of each setting; `ours` are the variables that `source` sets."""
    try:
        settings = load_settings(_settings_class(service))
    except SettingsError as error:
        raise CliError(f"{service}: {error}") from error
    return [
        [str(service), one.name, one.value, source if f"{PREFIX}{one.name.upper()}" in ours else one.source]
        for one in explain_settings(settings)
    ]


def _settings_class(service: Service) -> type[Settings]:
    """Return the class of a service's settings, which its module `settings` defines; nothing else is imported of it."""
    name = f"{module_of(service)}.settings"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise CliError(f"the {service} is not installed here: {error}") from error
    [found] = [
        one
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, Settings) and one.__module__ == name
    ]
    return found


@contextmanager
def _variables(values: Mapping[str, str]) -> Generator[None]:
    """Set environment variables within the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
