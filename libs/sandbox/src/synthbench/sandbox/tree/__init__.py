"""The workspace as a folder of the host, read and written without ever leaving it."""
