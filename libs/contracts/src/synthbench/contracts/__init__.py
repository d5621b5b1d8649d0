"""Events, records, subjects and streams of synth-bench."""
