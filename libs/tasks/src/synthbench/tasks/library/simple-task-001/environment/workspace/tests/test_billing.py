import unittest

from billing import invoice_total, line_total


class Billing(unittest.TestCase):
    def test_line(self):
        self.assertEqual(line_total(2, "1.50"), "3.00")

    def test_half_a_cent(self):
        self.assertEqual(line_total("0.5", "0.25"), "0.12")

    def test_invoice_with_tax(self):
        self.assertEqual(invoice_total([(1, "10.00"), (2, "5.00")], tax_percent=10), "22.00")


if __name__ == "__main__":
    unittest.main()
