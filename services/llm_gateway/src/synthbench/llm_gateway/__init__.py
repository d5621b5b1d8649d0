"""The only way to a model: routes, keys, budgets, usage."""
