"""The auditor: looks at bus, database, artifacts and the machine, and says of each promise whether it is held."""
