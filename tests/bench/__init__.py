"""Benches: ours beside a peer or a floor, in one run. `make bench NAME=…`."""
