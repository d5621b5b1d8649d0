"""The llm-gateway's sides to the outside world."""
