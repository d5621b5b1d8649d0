import unittest

from query import Database


def database():
    made = Database()
    made.add("pets", ["name", "kind", "age", "owner"], [("Rex", "dog", 3, 1), ("Tom", "cat", 5, 2), ("Ida", "dog", 7, 9)])
    made.add("people", ["id", "who"], [(1, "Ann"), (2, "Bob")])
    return made


class Queries(unittest.TestCase):
    def run_query(self, text):
        return database().run(text)[1]

    def test_where(self):
        rows = self.run_query("SELECT name FROM pets WHERE kind = 'cat' OR kind = 'dog' AND age > 5")
        self.assertEqual(rows, [["Tom"], ["Ida"]])

    def test_group(self):
        rows = self.run_query("SELECT kind, COUNT(*) AS n FROM pets GROUP BY kind HAVING COUNT(*) > 1")
        self.assertEqual(rows, [["dog", 2]])

    def test_join(self):
        rows = self.run_query("SELECT name, who FROM pets LEFT JOIN people ON owner = id ORDER BY kind, name")
        self.assertEqual(rows, [["Tom", "Bob"], ["Ida", None], ["Rex", "Ann"]])
