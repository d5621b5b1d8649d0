"""The ledger's statements."""

from synthbench.storage.queries import Queries

SQL = Queries.load("synthbench.llm_gateway.adapters")
