"""What the process of a service imports before it runs: libraries of others, and of rare requests, stay out."""

import subprocess
import sys

import pytest

from synthbench.contracts.registry import Service

NOBODY = {
    "aiohttp", "boto3", "botocore", "docker", "fastapi", "numpy", "pyarrow", "pygments", "rich",
    "sentence_transformers", "torch",
}  # fmt: skip
"""Not before it is known to be needed."""
OF_SOME = {
    "faststream": {Service.SCHEDULER, Service.QUALITY, Service.DIVERSITY},
    "httpx": {Service.SCHEDULER, Service.EXECUTOR},
    "psycopg": {Service.SCHEDULER, Service.LLM_GATEWAY, Service.COLLECTOR, Service.QUALITY, Service.DIVERSITY},
    "rensa": {Service.DIVERSITY},
    "pyflakes": {Service.EXECUTOR},
}
SERVICES = ("scheduler", "executor", "llm_gateway", "collector", "quality", "diversity")


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_imports_no_library_that_it_does_not_use(service: str):
    code = f"import sys, synthbench.{service}.__main__; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    imported = set(done.stdout.split())
    assert imported & NOBODY == set()
    assert {name for name in OF_SOME if name in imported} == {
        name for name, users in OF_SOME.items() if Service(service) in users
    }
