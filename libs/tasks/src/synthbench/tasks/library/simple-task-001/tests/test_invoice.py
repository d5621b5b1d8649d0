import unittest

from synthbench_verify import RemoteError, workspace


class LineTotals(unittest.TestCase):
    def test_whole_amounts(self):
        results = workspace.calls(
            ("billing:line_total", 2, "1.50"), ("billing:line_total", 0, "9.99"), ("billing:line_total", "3", 4)
        )
        self.assertEqual(results, ["3.00", "0.00", "12.00"])

    def test_half_a_cent_goes_to_the_even_cent(self):
        results = workspace.calls(
            ("billing:line_total", "0.5", "0.25"),
            ("billing:line_total", "1.5", "0.25"),
            ("billing:line_total", "0.5", "0.27"),
            ("billing:line_total", 1, "2.345"),
        )
        self.assertEqual(results, ["0.12", "0.38", "0.14", "2.34"])

    def test_floats_of_a_price_list_are_taken_as_written(self):
        results = workspace.calls(
            ("billing:line_total", 1, 1.005), ("billing:line_total", 1, 1.015), ("billing:line_total", 0.1, 0.35)
        )
        self.assertEqual(results, ["1.00", "1.02", "0.04"])


class InvoiceTotals(unittest.TestCase):
    def test_an_empty_invoice_is_nothing(self):
        self.assertEqual(workspace.call("billing:invoice_total", [], 19), "0.00")

    def test_a_negative_quantity_is_refused(self):
        with self.assertRaises(RemoteError) as caught:
            workspace.call("billing:line_total", -1, "1.00")
        self.assertEqual(caught.exception.type, "ValueError")

    def test_tax_is_taken_of_the_sum_not_of_each_line(self):
        lines = [[1, "0.33"]] * 3
        self.assertEqual(workspace.call("billing:summary", lines, 10), {"net": "0.99", "tax": "0.10", "total": "1.09"})
        many = [[1, "0.04"]] * 10
        self.assertEqual(workspace.call("billing:summary", many, 19)["tax"], "0.08")

    def test_a_discount_comes_before_the_tax(self):
        self.assertEqual(
            workspace.call("billing:summary", [[2, "50.00"]], 20, 10),
            {"net": "90.00", "tax": "18.00", "total": "108.00"},
        )
