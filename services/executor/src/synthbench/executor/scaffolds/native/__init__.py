"""Our own scaffold: a few tools, and a loop that fits on one screen."""

from synthbench.executor.scaffolds.native.agent import NativeScaffold

__all__ = ["NativeScaffold"]
