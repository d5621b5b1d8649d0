"""`models list|add|test|remove`: models as `models.toml` has them, without a restart."""

import asyncio
import os
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from synthbench.cli import console
from synthbench.cli.models_file import ModelsFile, models_file
from synthbench.cli.sessions import services_api
from synthbench.client.errors import CliError
from synthbench.contracts.loose import as_list, as_object
from synthbench.embedded.datadir import DataDir
from synthbench.embedded.stack import remote_endpoints
from synthbench.embedded.status import stack_status

app = App(name="models", help="Models: list, add, test and remove them; a running stack takes changes over.")

_FINDINGS = ("model", "answers", "streaming", "tools", "usage", "reasoning", "price", "context", "seconds")


@app.command(name="list")
def list_models(*, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """List the models, providers and routes of models.toml. Simulated models (`sim/*`) are always there.

    Args:
        json: Print them as JSON.
    """
    file = ModelsFile(models_file(DataDir()))
    rows = [_row(file, name, model) for name, model in file.tables("models").items()]
    rows += [
        {"model": name, "provider": "route", "urls": ", ".join(map(str, as_list(route.get("models"))))}
        for name, route in file.tables("routes").items()
    ]
    columns = ("model", "provider", "name", "urls", "key", "price", "context")
    if json:
        console.show_json([{column: row.get(column, "") for column in columns} for row in rows])
        return
    if rows:
        console.table(list(columns), [[str(row.get(column, "")) for column in columns] for row in rows])
    else:
        console.say(f"{file.path} names no model; `synth-bench models add NAME --base-url URL` does")


@app.command
async def add(
    name: str,
    /,
    *,
    provider: str | None = None,
    kind: str = "openai",
    base_url: list[str] | None = None,
    provider_name: str | None = None,
    api_key_env: str | None = None,
    api_key_file: Path | None = None,
    input_price: float | None = None,
    output_price: float | None = None,
    context: int | None = None,
    max_output: int | None = None,
    reasoning: bool = False,
) -> None:
    """Add a model, or change one, with the provider that serves it.

    Args:
        name: As `--model` and campaigns name it, such as `lab/qwen`.
        provider: Its provider; by default the first part of the name.
        kind: openai (and whatever speaks like it), anthropic, openrouter or google.
        base_url: Of the provider, such as http://10.0.0.5:8000/v1; several serve the same models, and an attempt stays
            with one of them.
        provider_name: What the provider calls the model; by default the rest of the name.
        api_key_env: Environment variable that holds the key now; it is kept in a file that its owner alone can read.
        api_key_file: A file that holds the key, in its place.
        input_price: US dollars for a million tokens in.
        output_price: US dollars for a million tokens out.
        context: Tokens that the model takes, in and out together.
        max_output: Tokens of one answer.
        reasoning: It reasons: it takes `reasoning_effort`, and `max_completion_tokens`.
    """
    if (input_price is None) != (output_price is None):
        raise CliError("name --input-price and --output-price together", exit_code=2)
    if api_key_env and api_key_file:
        raise CliError("name --api-key-env or --api-key-file, not both", exit_code=2)
    data = DataDir()
    file = ModelsFile(models_file(data))
    first, _, rest = name.partition("/")
    served_by = provider or first
    if not rest and not provider:
        raise CliError(f"{name!r} names no provider: write PROVIDER/MODEL, or pass --provider", exit_code=2)
    key = _kept_key(data, served_by, api_key_env) if api_key_env else api_key_file
    if base_url or key or served_by not in file.tables("providers"):
        file.put("providers", served_by, _provider_fields(file, served_by, kind, base_url, key))
    model: dict[str, Any] = {"provider": provider, "name": provider_name, "context": context, "max_output": max_output}
    model |= {"reasoning": reasoning or None}
    if input_price is not None:
        model["prices"] = {"input": input_price, "output": output_price}
    file.put("models", name, {field: value for field, value in model.items() if value is not None})
    file.write()
    await _taken_over(data, file, f"{name} is in {file.path}")


@app.command
async def remove(name: str, /) -> None:
    """Remove a model, and its provider if no other model is served by it.

    Args:
        name: As `models list` shows it.
    """
    data = DataDir()
    file = ModelsFile(models_file(data))
    models = file.tables("models")
    if name not in models:
        raise CliError(f"{file.path} names no model {name}; it has {', '.join(models) or 'none'}")
    if routes := file.users_of(name):
        raise CliError(f"{name} is a model of {', '.join(routes)}; change these routes first")
    provider = _provider_of(name, models[name])
    file.remove("models", name)
    if not any(_provider_of(other, model) == provider for other, model in models.items() if other != name):
        file.remove("providers", provider)
        data.provider_key(provider).unlink(missing_ok=True)
    file.write()
    await _taken_over(data, file, f"{name} is removed from {file.path}")


@app.command(name="test")
async def try_model(name: str, /, *, json: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Ask a model four short questions: does it answer, stream, call tools, count tokens, reason? They cost a little.

    Args:
        name: A model or a route.
        json: Print the findings as JSON.
    """
    async with services_api() as client:
        found = as_object(
            await client.find(
                "/v1/models/test", service="llm_gateway", method="POST", params={"model": name}, seconds=300.0
            )
        )
    if json:
        console.show_json(found)
    else:
        console.table(["", name], [[finding, str(found[finding])] for finding in _FINDINGS if finding in found])
    return 0 if found.get("answers") == "yes" else 1


def _row(file: ModelsFile, name: str, model: dict[str, Any]) -> dict[str, Any]:
    served_by = _provider_of(name, model)
    provider = file.tables("providers").get(served_by, {})
    prices = as_object(model.get("prices"))
    return {
        "model": name,
        "provider": served_by,
        "name": model.get("name", ""),
        "urls": ", ".join(map(str, as_list(provider.get("base_urls")) or [provider.get("base_url", "")])),
        "key": provider.get("api_key_env") or provider.get("api_key_file") or "none",
        "price": f"{prices['input']:g} / {prices['output']:g}" if prices else "",
        "context": model.get("context", ""),
    }


def _provider_of(name: str, model: dict[str, Any]) -> str:
    return str(model.get("provider") or name.partition("/")[0])


def _provider_fields(
    file: ModelsFile, name: str, kind: str, base_url: list[str] | None, key: Path | None
) -> dict[str, Any]:
    known = file.tables("providers").get(name)
    fields: dict[str, Any] = {} if known else {"kind": kind}
    if base_url:
        several = len(base_url) > 1
        file.unset("providers", name, "base_url" if several else "base_urls")
        fields |= {"base_urls": base_url} if several else {"base_url": base_url[0]}
    if key:
        file.unset("providers", name, "api_key_env")
        fields["api_key_file"] = str(key.absolute())
    return fields


def _kept_key(data: DataDir, provider: str, variable: str) -> Path:
    """A running gateway has no new variables: the key goes into a file of the data folder's secrets."""
    key = os.environ.get(variable)
    if not key:
        raise CliError(f"the environment variable {variable} is not set; it should hold the provider's key")
    path = data.provider_key(provider)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as written:
        written.write(key)
    return path


async def _taken_over(data: DataDir, file: ModelsFile, done: str) -> None:
    """Let a running stack read the file; what it does not take over is undone.

    Raises:
        CliError: why it is not taken over.
    """
    if not remote_endpoints() and stack_status(data) is None:
        console.say(f"{done}; the next `synth-bench up` takes it over")
        return
    async with services_api(data) as client:
        listed = as_object(await client.find("/v1/models", service="llm_gateway"))
        if Path(str(listed.get("file"))) != file.path:
            console.say(f"{done}; the running stack reads {listed.get('file') or 'no models.toml'}: start it anew")
            return
        reply = as_object(await client.find("/v1/models/reload", service="llm_gateway", method="POST"))
    if problem := reply.get("problem"):
        await asyncio.to_thread(file.write, file.before)
        raise CliError(f"nothing is changed: {problem}")
    console.say(f"{done}, and the running stack has taken it over")
