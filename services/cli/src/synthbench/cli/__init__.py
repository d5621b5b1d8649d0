"""The command synth-bench and the embedded stack."""
