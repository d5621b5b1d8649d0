"""The Sandbox protocol of synth-bench and its engines."""
