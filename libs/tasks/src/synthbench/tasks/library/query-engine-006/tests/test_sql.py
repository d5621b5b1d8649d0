import unittest

from synthbench_verify import workspace

SETUP = """
from query import Database, QueryError
db = Database()
db.add("t", ["id", "a", "b", "s"], [(1, 1, None, "x"), (2, 2, 5, "y"), (3, None, 5, "it's"), (4, 2, 1, None), (5, 3, None, "10")])
db.add("u", ["id", "v"], [(1, 10), (1, 11), (3, None), (7, 70)])
db.add("e", ["id", "w"], [])
def ask(text):
    try: return db.run(text)[1]
    except QueryError as error: return "QueryError: " + str(error)
"""


def ask(*queries):
    return workspace.script(SETUP + "result = [ask(q) for q in args]", *queries)


def ids(where):
    return f"SELECT id FROM t WHERE {where}"


class Expressions(unittest.TestCase):
    def test_precedence(self):
        found = ask(ids("id = 1 OR a = 2 AND b = 1"), ids("NOT id = 1 AND id < 4"), ids("(id = 1 OR a = 2) AND b = 1"))
        self.assertEqual(found, [[[1], [4]], [[2], [3]], [[4]]])

    def test_left_to_right(self):
        found = ask("SELECT 10 - 3 - 2, 2 + 3 * 4 - 1, 100 / 5 / 2, -a - 1, 1 - (2 - 3) FROM t WHERE id = 2")
        self.assertEqual(found, [[[5, 13, 10, -3, 2]]])

    def test_doubled_quotes(self):
        found = ask(ids("s = 'it''s'"), "SELECT 'a''" + "''b' FROM t LIMIT 1", "SELECT '' FROM t LIMIT 1", "SELECT 'open FROM t")
        self.assertEqual(found[:3], [[[3]], [["a''b"]], [[""]]])
        self.assertTrue(found[3].startswith("QueryError"))

    def test_numbers_and_text_compare_as_text(self):
        self.assertEqual(ask(ids("s = 10"), ids("s > 'x'")), [[[5]], [[2]]])


class Nulls(unittest.TestCase):
    def test_comparisons_are_unknown(self):
        found = ask(ids("b = NULL"), ids("b <> 5"), ids("NOT b = 5"), ids("NULL = NULL"), ids("b IS NULL"), ids("b = b"),
                    ids("NOT (b = 5 AND a = 1)"), ids("b = 5 OR a = 1"), ids("b + 1 > 0"))
        self.assertEqual(found, [[], [[4]], [[4]], [], [[1], [5]], [[2], [3], [4]], [[2], [4], [5]], [[1], [2], [3]],
                                 [[2], [3], [4]]])

    def test_in(self):
        found = ask(ids("a IN (1, 3)"), ids("a IN (1, NULL)"), ids("a NOT IN (1, 3)"), ids("a NOT IN (1, NULL)"),
                    ids("NOT a IN (2)"))
        self.assertEqual(found, [[[1], [5]], [[1]], [[2], [4]], [], [[1], [5]]])

    def test_aggregates_leave_nulls_out(self):
        found = ask("SELECT COUNT(*), COUNT(b), SUM(b), AVG(b), MIN(b), MAX(b) FROM t", "SELECT AVG(a), MIN(s), MAX(s) FROM t",
                    "SELECT SUM(v), COUNT(v), MIN(v) FROM u WHERE id = 3")
        self.assertEqual(found, [[[5, 3, 11, 11 / 3, 1, 5]], [[2, "10", "y"]], [[None, 0, None]]])

    def test_aggregates_over_no_rows(self):
        found = ask("SELECT COUNT(*), COUNT(w), SUM(w), MAX(w) FROM e", "SELECT id, COUNT(*) FROM e GROUP BY id",
                    "SELECT COUNT(*) + 1 FROM t WHERE id > 99")
        self.assertEqual(found, [[[0, 0, None, None]], [], [[1]]])

    def test_sorting(self):
        found = ask("SELECT id FROM t ORDER BY b, id DESC", "SELECT id FROM t ORDER BY a DESC, id", "SELECT id FROM t ORDER BY b DESC, a, id LIMIT 3")
        self.assertEqual(found, [[[5], [1], [4], [3], [2]], [[5], [2], [4], [1], [3]], [[3], [2], [4]]])


class Joins(unittest.TestCase):
    def test_left_join_keeps_every_row(self):
        found = ask("SELECT t.id, v FROM t LEFT JOIN u ON t.id = u.id ORDER BY t.id, v",
                    "SELECT t.id, w FROM t LEFT JOIN e ON t.id = e.id WHERE t.id < 3",
                    "SELECT t.id, u.v FROM t JOIN u ON t.id = u.id",
                    "SELECT x.id, y.id FROM t AS x LEFT JOIN t y ON x.b = y.b AND x.id <> y.id ORDER BY x.id")
        self.assertEqual(found, [
            [[1, 10], [1, 11], [2, None], [3, None], [4, None], [5, None]],
            [[1, None], [2, None]],
            [[1, 10], [1, 11], [3, None]],
            [[1, None], [2, 3], [3, 2], [4, None], [5, None]],
        ])

    def test_an_ambiguous_column_is_refused(self):
        found = ask("SELECT id FROM t JOIN u ON t.id = u.id", "SELECT v FROM t JOIN u ON t.id = u.id WHERE id = 1")
        self.assertTrue(all(answer.startswith("QueryError") and "id" in answer for answer in found), found)


class Groups(unittest.TestCase):
    def test_having(self):
        found = ask("SELECT a, COUNT(*) AS n FROM t GROUP BY a HAVING COUNT(*) > 1",
                    "SELECT a FROM t GROUP BY a HAVING SUM(b) > 5 ORDER BY a",
                    "SELECT a FROM t GROUP BY a HAVING SUM(b) > 0 ORDER BY a",
                    "SELECT COUNT(*) FROM t HAVING COUNT(*) > 9", "SELECT 1 FROM t HAVING MAX(a) = 3",
                    "SELECT id FROM t HAVING id = 1")
        self.assertEqual(found[:5], [[[2, 2]], [[2]], [[None], [2]], [], [[1]]])
        self.assertTrue(found[5].startswith("QueryError"))

    def test_groups_keep_nulls_together(self):
        self.assertEqual(ask("SELECT b, COUNT(*) FROM t GROUP BY b ORDER BY b"), [[[None, 2], [1, 1], [5, 2]]])


class Rest(unittest.TestCase):
    def test_the_command(self):
        workspace.write("h.csv", b"id,n\n1,\n2,x\n")
        done = workspace.python("-m", "query", "SELECT id, n FROM h ORDER BY id DESC", "h=h.csv")
        self.assertEqual((done.exit_code, done.stdout), (0, b"id,n\n2,x\n1,\n"))

    def test_errors_are_one_line(self):
        found = ask("SELEC 1", "SELECT x FROM nowhere", "SELECT nope FROM t", "SELECT id FROM t LIMIT 1.5", "SELECT s + 1 FROM t")
        self.assertTrue(all(answer.startswith("QueryError") for answer in found), found)

    def test_star_and_names(self):
        names = workspace.script(SETUP + "result = db.run('SELECT *, a + 1 AS more, COUNT(*) FROM t')[0]")
        self.assertEqual(names, ["id", "a", "b", "s", "more", "COUNT(*)"])
