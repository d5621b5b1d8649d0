"""Items of the warehouse, read from CSV."""

import csv
from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """One line of the stock list."""

    name: str
    quantity: int
    price: float

    @property
    def value(self):
        """What the whole quantity is worth."""
        return round(self.quantity * self.price, 2)


def read_items(path):
    """Read a CSV file with the columns name, quantity and price."""
    with open(path, newline="", encoding="utf-8") as file:
        return [Item(row["name"], int(row["quantity"]), float(row["price"])) for row in csv.DictReader(file)]
