"""The auditor: checks from outside whether bus, database, artifacts and the machine keep every invariant."""
