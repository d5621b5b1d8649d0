"""The client of a stack: its addresses, its bus, its HTTP APIs, and how work is submitted and read back."""
