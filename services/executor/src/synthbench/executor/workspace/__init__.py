"""The workspace of an attempt: how it is prepared before the agent begins, and what is taken from it afterwards."""
