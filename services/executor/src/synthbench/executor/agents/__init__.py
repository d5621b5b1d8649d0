"""Environments of external agents: an interpreter and pinned packages in a folder, which sandboxes see read-only."""
