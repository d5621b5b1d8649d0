"""Keeps three libraries from importing optional dependencies that no process of ours uses.

nats-py, structlog and httpx each import something within `try: … except ImportError` only because it is installed for
somebody else: aiohttp, rich, click. Measured on Python 3.11 that is 0.4 s of processor time at the start of a stack,
and 0.03 s for a command that asks the services.
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
"""By the module that imports: the dependency that is refused to it, and to it alone."""


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
        """Run the module's code while its optional dependency cannot be imported."""
        with _absent(_UNUSED[self.name]):
            super().exec_module(module)


class _Finder:
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        """Find the modules of `_UNUSED` where Python finds them, with a loader that refuses the import; no others."""
        if fullname not in _UNUSED:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def leave_out_unused() -> None:
    """Refuse these imports to these libraries from now on in this process."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
