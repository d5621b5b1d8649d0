import unittest

from logstat.records import read_records
from logstat.stats import by_hour, by_path, percentile

LOG = """2026-03-01T10:00:00Z INFO /cart?id=1 100
2026-03-01T10:10:00Z error /cart?id=2 300
    Traceback: boom
2026-03-01T11:00:00Z INFO /home 20
""".splitlines()


class Logs(unittest.TestCase):
    def test_all_records(self):
        self.assertEqual(len(list(read_records(LOG))), 3)

    def test_paths(self):
        self.assertEqual(by_path(read_records(LOG))["/cart"]["errors"], 1)

    def test_median(self):
        self.assertEqual(percentile([3, 1, 2, 4], 50), 2)

    def test_hours(self):
        self.assertEqual(by_hour(read_records(LOG)), {"2026-03-01T10:00Z": 2, "2026-03-01T11:00Z": 1})
