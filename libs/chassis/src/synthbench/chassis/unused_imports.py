"""Keep libraries from importing what they do without, and what no process of ours uses.

Each of them imports something within `try: … except ImportError`, only because it is installed for somebody else.
Together that is 0.3 s of processor time at the start of a process.
"""

import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType

_UNUSED = {
    "nats.aio.transport": "aiohttp",  # for NATS over WebSocket
    "structlog.dev": "rich",  # for logs on a terminal; ours are JSON
    "structlog.tracebacks": "rich",
    "httpx": "httpx._main",  # the command line of httpx: click, pygments and more of rich
}
"""The module that imports, and what is kept from it, and from it alone."""


@contextmanager
def _absent(name: str) -> Generator[None]:
    before = {name: sys.modules[name]} if name in sys.modules else {}  # None where it is absent already
    sys.modules[name] = None  # type: ignore[assignment] - None is how an import is refused
    try:
        yield
    finally:
        del sys.modules[name]
        sys.modules.update(before)


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code while what it does without is absent."""
        with _absent(_UNUSED[self.name]):
            super().exec_module(module)


class _Finder:
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        """Find these few modules as they are found otherwise, and leave all others to others."""
        if fullname not in _UNUSED:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def leave_out_unused() -> None:
    """Have it so for whatever is imported from now on in this process."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
