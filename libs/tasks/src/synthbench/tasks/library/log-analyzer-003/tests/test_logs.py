import json
import unittest

from synthbench_verify import RemoteError, workspace

LOG = b"""2026-03-01T00:30:00+01:00 INFO /cart?id=1 10
    detail one

\tdetail two
2026-02-28T23:45:00Z error /cart 30
2026-03-01T03:00:00 WARN /home?a=1?b=2 5
2026-02-28T22:10:00-05:00 ERROR /home 7
"""


class Command(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        workspace.write("hidden.log", LOG)

    def test_by_path(self):
        done = workspace.python("-m", "logstat", "hidden.log")
        self.assertEqual(
            json.loads(done.stdout),
            {
                "/cart": {"count": 2, "errors": 1, "p50": 10, "p95": 30},
                "/home": {"count": 2, "errors": 1, "p50": 5, "p95": 7},
            },
        )

    def test_by_hour_in_utc_with_gaps(self):
        done = workspace.python("-m", "logstat", "hidden.log", "--by", "hour")
        found = json.loads(done.stdout)
        expected = {"2026-02-28T23:00Z": 2, "2026-03-01T00:00Z": 0, "2026-03-01T01:00Z": 0, "2026-03-01T02:00Z": 0,
                    "2026-03-01T03:00Z": 2}
        self.assertEqual(found, expected)
        self.assertEqual(list(found), sorted(found))

    def test_a_bad_line_is_an_error_with_its_number(self):
        workspace.write("bad.log", b"2026-03-01T10:00:00Z INFO /a 1\nnonsense here\n")
        done = workspace.python("-m", "logstat", "bad.log")
        self.assertEqual(done.exit_code, 1)
        self.assertIn(b"line 2", done.stderr)


class Functions(unittest.TestCase):
    def test_details_belong_to_their_record(self):
        source = """
from logstat.records import read_records
result = [r.details for r in read_records(["2026-03-01T10:00:00Z INFO /a 1", "  x", "2026-03-01T10:00:00Z INFO /b 1", "\ty"])]
"""
        self.assertEqual(workspace.script(source), [["x"], ["y"]])

    def test_nearest_rank(self):
        many = list(range(1, 101))
        found = workspace.calls(
            ("logstat.stats:percentile", [1, 2, 3], 50), ("logstat.stats:percentile", [7], 1),
            ("logstat.stats:percentile", [15, 20, 35, 40, 50], 30), ("logstat.stats:percentile", [15, 20, 35, 40, 50], 5),
            ("logstat.stats:percentile", many, 95), ("logstat.stats:percentile", [3, 1, 2], 100),
            ("logstat.stats:percentile", [1, 2, 3, 4, 5, 6, 7], 85), ("logstat.stats:percentile", list(range(10, 101, 10)), 31),
        )
        self.assertEqual(found, [2, 7, 20, 15, 95, 3, 6, 40])

    def test_percentile_refuses_nonsense(self):
        found = workspace.calls(
            ("logstat.stats:percentile", [], 50), ("logstat.stats:percentile", [1], 0), ("logstat.stats:percentile", [1], 101)
        )
        self.assertTrue(all(isinstance(error, RemoteError) and error.type == "ValueError" for error in found))

    def test_nothing_is_nothing(self):
        source = """
from logstat.stats import by_hour, by_path
result = [by_hour([]), by_path([])]
"""
        self.assertEqual(workspace.script(source), [{}, {}])
