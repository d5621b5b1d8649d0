"""Recordings of model calls: answers are stored by the request that they answer, and replayed."""
