import unittest

from ttlcache import Cache, ManualClock


class Basics(unittest.TestCase):
    def setUp(self):
        self.clock = ManualClock()
        self.cache = Cache(2, 10, self.clock)

    def test_put_and_get(self):
        self.cache.put("a", 1)
        self.assertEqual(self.cache.get("a"), 1)
        self.assertEqual(self.cache.get("b", "none"), "none")

    def test_the_least_recently_read_goes(self):
        self.cache.put("a", 1)
        self.cache.put("b", 2)
        self.cache.get("a")
        self.cache.put("c", 3)
        self.assertEqual(self.cache.get("a"), 1)

    def test_entries_expire(self):
        self.cache.put("a", 1)
        self.clock.advance(11)
        self.assertIsNone(self.cache.get("a"))

    def test_compute(self):
        self.assertEqual(self.cache.get_or_compute("a", lambda: 5), 5)
        self.assertEqual(self.cache.get("a"), 5)
