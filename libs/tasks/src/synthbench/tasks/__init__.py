"""The task package format of synth-bench, its loaders and the built-in task library."""
