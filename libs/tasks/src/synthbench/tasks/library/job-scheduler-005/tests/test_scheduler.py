import json
import unittest

from synthbench_verify import RemoteError, workspace

SETUP = """
import os
from jobs.graph import check_plan, dependents, find_cycle
from jobs.model import Job, PlanError
from jobs.queue import ready_jobs
from jobs.report import problems, summary
from jobs.retry import may_retry, pause_before
from jobs.runner import Runner
from jobs.store import load, save

def play(jobs, failures=None, **options):
    left, ran, waits = dict(failures or {}), [], []
    def work(name):
        ran.append(name)
        if left.get(name, 0):
            left[name] -= 1
            raise OSError("no " + name)
    complete = Runner(jobs, work, wait=waits.append, **options).run()
    return {"ran": ran, "waits": waits, "complete": complete, "states": [j.state for j in jobs],
            "attempts": [j.attempts for j in jobs], "errors": [j.error for j in jobs]}
result = {}
"""


def script(source):
    return workspace.script(SETUP + source)


class Graph(unittest.TestCase):
    def test_circles_are_named(self):
        found = script("""
def refusal(jobs):
    try: check_plan(jobs)
    except PlanError as error: return str(error)
    return ""
result["two"] = refusal([Job("b", ["a"]), Job("a", ["b"])])
result["self"] = refusal([Job("a", ["a"])])
result["long"] = refusal([Job("start", ["m"]), Job("m", ["n"]), Job("n", ["k"]), Job("k", ["m"])])
result["behind"] = refusal([Job("a", ["z"]), Job("z", ["m"]), Job("m", ["z"])])
result["unknown"] = refusal([Job("a", ["zz"])])
result["doubled"] = refusal([Job("a"), Job("a")])
""")
        self.assertEqual(found["two"], "cycle: a -> b -> a")
        self.assertEqual(found["self"], "cycle: a -> a")
        self.assertEqual(found["long"], "cycle: k -> m -> n -> k")
        self.assertEqual(found["behind"], "cycle: m -> z -> m")
        self.assertIn("zz", found["unknown"])
        self.assertIn("doubled", found["doubled"])

    def test_a_diamond_is_no_circle(self):
        found = script("""
jobs = [Job("end", ["left", "right"]), Job("left", ["top"]), Job("right", ["top"]), Job("top"), Job("more", ["end", "top"])]
result = play(jobs)
""")
        self.assertTrue(found["complete"])
        self.assertEqual(found["ran"], ["top", "left", "right", "end", "more"])

    def test_unknown_and_doubled_names_are_refused(self):
        found = script("""
for key, jobs in {"unknown": [Job("a", ["zz"])], "doubled": [Job("a"), Job("a")]}.items():
    try: check_plan(jobs)
    except PlanError as error: result[key] = str(error)
""")
        self.assertEqual(sorted(found), ["doubled", "unknown"])


class Running(unittest.TestCase):
    def test_everything_behind_a_failure_is_skipped(self):
        found = script("""
jobs = [Job("d", ["c"]), Job("c", ["b"]), Job("e", ["d"]), Job("b", ["a"]), Job("a"), Job("free")]
result = play(jobs, {"a": 9})
result["summary"] = summary(jobs)
result["problems"] = len(problems(jobs))
""")
        self.assertEqual(found["states"], ["skipped"] * 4 + ["failed", "done"])
        self.assertEqual((found["ran"], found["complete"]), (["a", "free"], False))
        self.assertEqual((found["summary"], found["problems"]), ("1 done, 1 failed, 4 skipped", 5))

    def test_order(self):
        found = script("""
result = play([Job("low", priority=-1), Job("z"), Job("a"), Job("high", priority=5), Job("m"), Job("late", ["high"], 9)])
""")
        self.assertEqual(found["ran"], ["high", "late", "z", "a", "m", "low"])

    def test_attempts_and_pauses(self):
        found = script("""
result["twice"] = play([Job("a", retries=2)], {"a": 2})
result["lost"] = play([Job("a", retries=1)], {"a": 5})
result["none"] = play([Job("a")], {"a": 1})
result["pauses"] = [pause_before(n) for n in (1, 2, 3, 4, 7, 8, 9, 50)]
""")
        self.assertEqual(found["twice"]["waits"], [1, 2])
        self.assertEqual((found["twice"]["attempts"], found["twice"]["errors"]), ([3], [""]))
        self.assertEqual((found["lost"]["attempts"], found["lost"]["states"]), ([2], ["failed"]))
        self.assertEqual((found["none"]["attempts"], found["none"]["waits"]), ([1], []))
        self.assertEqual(found["pauses"], [0, 1, 2, 4, 32, 60, 60, 60])
        self.assertIn("OSError", found["lost"]["errors"][0])

    def test_a_job_that_was_cut_off_runs_again(self):
        found = script("""
jobs = [Job("a", state="done", attempts=1), Job("b", ["a"], state="running", attempts=1), Job("c", ["b"])]
result = play(jobs)
""")
        self.assertEqual((found["ran"], found["complete"]), (["b", "c"], True))
        self.assertEqual(found["attempts"], [1, 2, 1])


class Files(unittest.TestCase):
    def test_the_state_holds_every_job_and_is_replaced_whole(self):
        found = script("""
os.makedirs("state", exist_ok=True)
path = "state/s.json"
jobs = [Job("a"), Job("b", ["a"])]
seen = []
def changed(jobs):
    if os.path.exists(path):
        before = os.stat(path).st_ino
        save(path, jobs)
        seen.append(os.stat(path).st_ino != before)
    else:
        save(path, jobs)
out = play(jobs, {"a": 1}, changed=changed)
result = {"names": [j.name for j in load(path)], "states": [j.state for j in load(path)], "whole": all(seen) and len(seen) > 1,
          "left": sorted(os.listdir("state"))}
""")
        self.assertEqual(found, {"names": ["a", "b"], "states": ["failed", "skipped"], "whole": True, "left": ["s.json"]})

    def test_the_command_goes_on_where_it_was(self):
        plan = {"jobs": [{"name": "one"}, {"name": "two", "needs": ["one"]}]}
        workspace.write("plan.json", json.dumps(plan).encode())
        workspace.write("one.sh", b"echo one >> ran.txt")
        workspace.write("two.sh", b"test -f go && echo two >> ran.txt")
        first = workspace.python("-m", "jobs", "plan.json", "--state", "night.json")
        self.assertEqual((first.exit_code, first.stdout.strip()), (1, b"1 done, 1 failed, 0 skipped"))
        state = json.loads(workspace.read("night.json"))
        self.assertEqual([job["state"] for job in state["jobs"]], ["done", "failed"])
        self.assertEqual(workspace.read("ran.txt"), b"one\n")

    def test_a_broken_plan_is_one_line(self):
        workspace.write("broken.json", b'{"jobs": [{"name": "a", "colour": 1}]}')
        done = workspace.python("-m", "jobs", "broken.json")
        self.assertEqual((done.exit_code, done.stderr.count(b"\n")), (2, 1))
