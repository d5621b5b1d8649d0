"""Postgres pool, migrations and the artifact store of synth-bench."""
