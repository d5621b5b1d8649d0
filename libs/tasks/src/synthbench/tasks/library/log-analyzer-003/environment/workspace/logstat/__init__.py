"""Statistics over the access logs of a web shop."""
