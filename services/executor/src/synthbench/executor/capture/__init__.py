"""Agents that run inside the sandbox: their model calls pass here, and become steps while they run.

`place` gives a sandbox its one way out, `inside.py` is what runs in it, `server` passes calls on and records them,
`running` carries an agent from its start to its end.
"""
