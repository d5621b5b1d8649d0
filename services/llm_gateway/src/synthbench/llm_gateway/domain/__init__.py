"""The decisions of the llm-gateway, without I/O."""
