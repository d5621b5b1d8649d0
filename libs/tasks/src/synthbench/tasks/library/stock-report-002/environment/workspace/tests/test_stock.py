import json
import subprocess
import sys
import unittest


def stock(*arguments):
    return subprocess.run([sys.executable, "-m", "stock", *arguments], capture_output=True, text=True, check=False)


class Stock(unittest.TestCase):
    def test_text(self):
        done = stock("sample.csv")
        self.assertEqual(done.returncode, 0)
        self.assertTrue(done.stdout.startswith("bolt"))

    def test_sorted_by_name(self):
        self.assertTrue(stock("--sort", "name", "sample.csv").stdout.startswith("anchor"))

    def test_json(self):
        report = json.loads(stock("--format", "json", "sample.csv").stdout)
        self.assertEqual(report["items"][0], {"name": "bolt", "quantity": 10, "value": 2.5})
