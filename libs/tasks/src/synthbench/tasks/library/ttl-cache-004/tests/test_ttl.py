import unittest

from synthbench_verify import workspace


def play(body):
    """Run statements on `c` (a cache of 3, 10 s) and `clock`; `out` is what comes back."""
    lines = "\n".join(body.strip().splitlines())
    return workspace.script(
        "from ttlcache import Cache, ManualClock\nclock = ManualClock()\nc = Cache(3, 10, clock)\nout = []\n"
        + lines + "\nresult = out\n"
    )


class Order(unittest.TestCase):
    def test_reading_and_writing_count_as_use(self):
        found = play("""
for k in "abc": c.put(k, k)
c.get("a"); c.put("b", "B"); c.put("d", 1)
out.append(c.keys())
c.put("e", 1)
out.append(c.keys()); out.append(c.counters.as_dict())
""")
        self.assertEqual(found[:2], [["a", "b", "d"], ["b", "d", "e"]])
        self.assertEqual(found[2], {"hits": 1, "misses": 0, "evictions": 2, "expirations": 0})

    def test_looking_whether_it_is_there_is_no_use(self):
        found = play("""
for k in "abc": c.put(k, None)
out.append("a" in c); out.append("z" in c)
c.put("d", 1)
out.append("a" in c); out.append(c.counters.as_dict())
""")
        self.assertEqual(found, [True, False, False, {"hits": 0, "misses": 0, "evictions": 1, "expirations": 0}])


class Time(unittest.TestCase):
    def test_expired_entries_make_room_first(self):
        found = play("""
c.put("live", 1, ttl=100)
c.put("x", 1); c.put("y", 1)
clock.advance(10)
c.put("new", 1)
out.append(c.keys()); out.append(c.counters.as_dict())
""")
        self.assertEqual(found, [["live", "new"], {"hits": 0, "misses": 0, "evictions": 0, "expirations": 2}])

    def test_it_is_gone_at_that_moment(self):
        found = play("""
c.put("a", 1)
clock.advance(9.5); out.append(c.get("a"))
clock.advance(0.5); out.append(c.get("a")); out.append(len(c))
""")
        self.assertEqual(found, [1, None, 0])

    def test_reading_does_not_prolong_and_writing_does(self):
        found = play("""
c.put("read", 1); c.put("written", 1); c.put("short", 1, ttl=3)
clock.advance(4); out.append(c.get("short"))
c.get("read"); c.put("written", 2)
clock.advance(6); out.append([c.get("read"), c.get("written")])
""")
        self.assertEqual(found, [None, [None, 2]])


class Compute(unittest.TestCase):
    def test_computes_once(self):
        found = play("""
calls = []
def compute(): calls.append(1)
out.append(c.get_or_compute("n", compute)); out.append(c.get_or_compute("n", compute))
out.append(len(calls)); out.append(c.counters.as_dict())
out.append(c.get_or_compute("t", lambda: 7, ttl=1)); clock.advance(1); out.append("t" in c)
""")
        self.assertEqual(found[:3], [None, None, 1])
        self.assertEqual((found[3]["hits"], found[3]["misses"]), (1, 1))
        self.assertEqual(found[4:], [7, False])

    def test_a_failure_stores_nothing(self):
        found = play("""
try: c.get_or_compute("k", lambda: 1 / 0)
except ZeroDivisionError: out.append("raised")
out.append("k" in c)
""")
        self.assertEqual(found, ["raised", False])


class Rest(unittest.TestCase):
    def test_delete_and_bounds(self):
        found = play("""
c.put("a", 1)
out.append(c.delete("a")); out.append(c.delete("a")); out.append(len(c))
for bad in ((0, 1), (1, 0)):
    try: Cache(*bad)
    except ValueError: out.append("refused")
try: c.put("a", 1, ttl=0)
except ValueError: out.append("refused")
""")
        self.assertEqual(found, [True, False, 0, "refused", "refused", "refused"])
