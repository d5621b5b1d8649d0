"""Quality's side to Postgres."""
