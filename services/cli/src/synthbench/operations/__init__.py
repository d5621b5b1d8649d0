"""Operations on a stack by its operator: audit, backup, restore, garbage collection, rebuilding, rescoring."""
