"""One attempt, from the grant of its claim to the report of its outcome."""
