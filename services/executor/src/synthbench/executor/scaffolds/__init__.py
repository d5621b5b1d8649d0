"""The scaffolds that come with synth-bench."""
