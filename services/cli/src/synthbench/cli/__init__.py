"""The command `synth-bench`: what users type, and what they see; and the same for Python programs."""
