"""SWE-agent's configuration for one attempt. Pure. Source: its `config/default.yaml` and `RunSingleConfig`."""

from typing import Any

_SYSTEM = "You are a helpful assistant that can interact with a computer to solve tasks."
_SYSTEM_TEXT = (
    _SYSTEM
    + """
Besides the usual shell commands there are these:
{{command_docs}}
Answer with a DISCUSSION of what you do next, and then with exactly one command (or script) in a code block:

DISCUSSION
I look at the files.

```
ls -la
```
"""
)
_INSTANCE = "{{problem_statement}}"
_ENV = {
    "PAGER": "cat",
    "MANPAGER": "cat",
    "GIT_PAGER": "cat",
    "LESS": "-R",
    "TQDM_DISABLE": "1",
    "PIP_PROGRESS_BAR": "off",
    "PIP_NO_INDEX": "1",
}
MODES = ("functions", "text")


def configuration(
    instruction: str, workspace: str, *, model: str, mode: str, steps: int, command_seconds: int
) -> dict[str, Any]:
    """Return what it is run with; JSON is YAML.

    Args:
        instruction: the task's.
        workspace: where it works.
        model: as LiteLLM is to be asked for it; where it is reached the environment says.
        mode: one of `MODES`.
        steps: at most so many model calls; beyond the attempt's own limit, which shall be met first.
        command_seconds: of one command.
    """
    functions = mode == "functions"
    bundles = ["tools/registry", *(["tools/edit_anthropic"] if functions else []), "tools/submit"]
    return {
        "env": {
            "deployment": {"type": "local"},
            "repo": {"type": "preexisting", "repo_name": workspace.lstrip("/"), "reset": False},
        },
        "problem_statement": {
            "type": "text",
            "id": "task",
            "text": f"{instruction}\n\nThe workspace is {workspace}.",
        },
        "agent": {
            "type": "default",
            "model": {
                "name": model,
                "api_key": "none-is-needed",
                "per_instance_cost_limit": 0,
                "total_cost_limit": 0,
                "per_instance_call_limit": steps,
                "retry": {"retries": 1, "min_wait": 0, "max_wait": 1},
            },
            "templates": {
                "system_template": _SYSTEM if functions else _SYSTEM_TEXT,
                "instance_template": _INSTANCE,
                "next_step_template": "OBSERVATION:\n{{observation}}",
                "next_step_no_output_template": "Your command ran successfully and did not produce any output.",
            },
            "tools": {
                "bundles": [{"path": path} for path in bundles],
                "env_variables": _ENV,
                "registry_variables": {"USE_FILEMAP": "false"},
                "enable_bash_tool": True,
                "parse_function": {"type": "function_calling" if functions else "thought_action"},
                "execution_timeout": command_seconds,
            },
        },
    }
