"""What the contract tests share: the descriptors that buf builds from proto/."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

ROOT = Path(__file__).resolve().parents[2]
PROTO = ROOT / "proto"
BUF = Path(sys.executable).with_name("buf")


@pytest.fixture(scope="session")
def buf() -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*arguments: str, cwd: Path = PROTO) -> subprocess.CompletedProcess[str]:
        return subprocess.run([BUF, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=False)

    return run


@pytest.fixture(scope="session")
def message_class(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], type[Message]]:
    """Message classes by name, made from the descriptors: no generated code is committed."""
    image = tmp_path_factory.mktemp("proto") / "image.binpb"
    subprocess.run([BUF, "build", "--as-file-descriptor-set", "-o", image], cwd=PROTO, check=True, timeout=60)
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes()).file:
        pool.Add(file)

    def find(name: str) -> type[Message]:
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"synthbench.v1.{name}"))

    return find
