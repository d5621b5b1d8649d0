import unittest

from jobs.model import DONE, Job, PlanError
from jobs.runner import Runner


class Plans(unittest.TestCase):
    def test_needs_come_first(self):
        ran = []
        complete = Runner([Job("b", ["a"]), Job("a")], ran.append).run()
        self.assertEqual((ran, complete), (["a", "b"], True))

    def test_a_circle_is_refused(self):
        with self.assertRaises(PlanError):
            Runner([Job("a", ["b"]), Job("b", ["a"])], print)

    def test_equal_priorities_keep_their_order(self):
        ran = []
        Runner([Job("x"), Job("z"), Job("y")], ran.append).run()
        self.assertEqual(ran, ["x", "z", "y"])

    def test_a_retry(self):
        failures = [OSError("once")]

        def work(name):
            if failures:
                raise failures.pop()

        jobs = [Job("a", retries=1)]
        self.assertTrue(Runner(jobs, work).run())
        self.assertEqual(jobs[0].state, DONE)
