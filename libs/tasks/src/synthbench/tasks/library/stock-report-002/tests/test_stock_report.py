import json
import unittest

from synthbench_verify import workspace

CSV = b"name,quantity,price\nzinc,5,0.10\n\xc3\x84rmel,5,0.70\nbolt,40,0.25\nanchor,3,33.335\n"
TEXT = """zinc                      5       0.50
\u00c4rmel                     5       3.50
bolt                     40      10.00
anchor                    3     100.00
TOTAL                    53     114.00
"""


def stock(*arguments):
    return workspace.python("-m", "stock", *arguments)


class Report(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        workspace.write("hidden.csv", CSV)

    def test_the_text_report_is_as_it_was(self):
        done = stock("hidden.csv")
        self.assertEqual((done.exit_code, done.stdout.decode()), (0, TEXT))

    def test_a_missing_file_is_one_line(self):
        done = stock("nowhere.csv")
        self.assertEqual((done.exit_code, done.stdout, done.stderr.count(b"\n")), (1, b"", 1))

    def test_orders(self):
        source = """
from stock.items import Item
from stock.report import sort_items
items = [Item("b", 2, 1.0), Item("c", 7, 0.1), Item("a", 2, 5.0), Item("d", 1, 2.0)]
result = {str(key): [i.name for i in sort_items(items, key)] for key in (None, "name", "quantity", "value")}
"""
        self.assertEqual(
            workspace.script(source),
            {"None": list("bcad"), "name": list("abcd"), "quantity": list("cabd"), "value": list("abdc")},
        )

    def test_json_sorted_by_quantity(self):
        done = stock("hidden.csv", "--format", "json", "--sort", "quantity")
        self.assertEqual(done.stdout.count(b"\n"), 1)
        report = json.loads(done.stdout)
        self.assertEqual([item["name"] for item in report["items"]], ["bolt", "zinc", "\u00c4rmel", "anchor"])
        self.assertEqual(report["total"]["quantity"], 53)

    def test_names_are_printed_as_they_are(self):
        self.assertIn("\u00c4rmel".encode(), stock("hidden.csv", "--format", "json").stdout)

    def test_numbers_have_two_decimals(self):
        source = """
import json
from stock.items import Item
from stock.report import json_report
result = json.loads(json_report([Item("a", 1, 0.1), Item("b", 1, 0.2), Item("c", 3, 0.1)]))["total"]
"""
        self.assertEqual(workspace.script(source), {"quantity": 5, "value": 0.6})

    def test_an_unknown_key_is_refused(self):
        done = stock("hidden.csv", "--sort", "colour")
        self.assertEqual(done.exit_code, 2)
        self.assertIn(b"value", done.stderr)
