"""Our own scaffold: six tools and a loop that fits on one screen."""

from synthbench.executor.scaffolds.native.agent import NativeScaffold

__all__ = ["NativeScaffold"]
