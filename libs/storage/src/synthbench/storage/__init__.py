"""Access to Postgres (pool, migrations, queries) and to the artifact store."""
