"""Runs the hidden tests of a task against code that it never touches. Standard library only.

Tests are `unittest` cases; `from synthbench_verify import workspace` gives them the code under test, which lives in
another sandbox. Every operation travels over a socket to synth-bench and is carried out there; the report goes the same
way. Code under test can answer rightly or wrongly, and nothing else: it shares no process, file or memory with the tests.

    python3 -I synthbench_verify.py --tests DIR --socket PATH             as synth-bench runs it
    python3 -I synthbench_verify.py --tests DIR --workspace DIR --reward FILE   anywhere, without isolation (test.sh)
"""

import argparse
import base64
import json
import os
import re
import resource
import signal
import socket
import sys
import time
import unittest

_CALL_SECONDS = 20.0
_ANSWER_BYTES = 8 * 1024 * 1024
_ANSWER_MARKS = 200_000  # commas, colons and brackets of one answer
_ANSWER_DEPTH = 100
_REQUEST_BYTES = 24 * 1024 * 1024
_MESSAGE_CHARACTERS = 1000
_MEMORY_BYTES = 448 * 1024 * 1024
_TICK_SECONDS = 0.5
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)

# Runs beside the code under test. The answer leaves by a private descriptor, so that prints do not disturb it.
_RUNNER = r"""
import json, os, sys
answer = os.fdopen(os.dup(1), "w"); os.dup2(2, 1)
sys.path.insert(0, os.getcwd())
request = json.loads(sys.stdin.read())
def run(item):
    import importlib
    try:
        if "script" in item:
            scope = {"args": item.get("args", []), "result": None, "__name__": "script"}
            exec(compile(item["script"], "script", "exec"), scope)
            value = scope["result"]
        else:
            module, _, path = item["target"].partition(":")
            value = importlib.import_module(module)
            for name in path.split("."):
                value = getattr(value, name)
            value = value(*item["args"], **item["kwargs"])
        return {"value": json.loads(json.dumps(value))}
    except BaseException as error:
        return {"error": type(error).__name__, "message": str(error)}
answer.write(json.dumps([run(item) for item in request])); answer.flush()
"""


class RemoteError(Exception):
    """The code under test raised; `type` is the name of its exception class."""

    def __init__(self, type_name, message):
        super().__init__(f"{type_name}: {message}")
        self.type = type_name
        self.message = message


class TooLong(Exception):
    """The tests have used up their processor time: what they were answered is too much to be compared."""


class _Budget:
    """Processor time of the tests' own process; code under test runs elsewhere and has time limits of its own."""

    def __init__(self, seconds):
        self._seconds = seconds

    def start(self):
        signal.signal(signal.SIGPROF, self._tick)
        signal.setitimer(signal.ITIMER_PROF, self._seconds, _TICK_SECONDS)

    def _tick(self, *_):
        raise TooLong(f"the tests took more than {self._seconds:g} s of processor time")

    def stop(self):
        while True:
            try:
                signal.signal(signal.SIGPROF, signal.SIG_IGN)
                return
            except TooLong:
                pass


def _clean(text):
    """Text that can stand in any record."""
    return str(text).encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def _answer_of(data):
    """Parse what code under test answered, if it is of a size that tests can compare."""
    structure = _STRING.sub(b"", data).translate(None, bytes(set(range(256)) - set(b",:[]{}")))
    if len(data) > _ANSWER_BYTES or len(structure) > _ANSWER_MARKS:
        raise RemoteError("AnswerTooLarge", f"more than {_ANSWER_MARKS} commas, colons and brackets")
    depth = 0
    for mark in structure:
        depth += (mark in b"[{") - (mark in b"]}")
        if depth > _ANSWER_DEPTH:
            raise RemoteError("AnswerTooDeep", f"nested deeper than {_ANSWER_DEPTH}")
    return json.loads(data)


class RunResult:
    """How a command in the workspace ended."""

    def __init__(self, exit_code, stdout, stderr, timed_out):
        self.exit_code = exit_code
        self.stdout = stdout
        self.stderr = stderr
        self.timed_out = timed_out


class _Socket:
    """Operations over synth-bench's socket: one JSON object a line each way."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._file = self._socket.makefile("rwb")

    def ask(self, operation, **fields):
        data = json.dumps({"op": operation, **fields}).encode() + b"\n"
        if len(data) > _REQUEST_BYTES:
            raise RemoteError("RequestTooLarge", f"{operation}: more than {_REQUEST_BYTES} bytes")
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPROF})  # half a line would spoil all that follow
        try:
            return json.loads(self._exchanged(data))
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF})

    def _exchanged(self, data):
        self._file.write(data)
        self._file.flush()
        line = self._file.readline()
        if not line:
            sys.exit("synth-bench closed the channel")
        return line


class _Local:
    """The same operations on a folder of this machine."""

    def __init__(self, folder, reward):
        self._folder = folder
        self._reward = reward

    def ask(self, operation, **fields):
        return getattr(self, "_" + operation)(**fields)

    def _run(self, argv, stdin, timeout, cwd):
        import subprocess  # only here: it costs the usual start a tenth

        try:
            done = subprocess.run(
                argv, input=base64.b64decode(stdin), timeout=timeout, cwd=os.path.join(self._folder, cwd),
                capture_output=True, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as late:
            return {"exit_code": None, "stdout": _b64(late.stdout or b""), "stderr": "", "timed_out": True}
        except OSError as error:
            return {"exit_code": 127, "stdout": "", "stderr": _b64(str(error).encode()), "timed_out": False}
        return {
            "exit_code": done.returncode, "stdout": _b64(done.stdout), "stderr": _b64(done.stderr), "timed_out": False,
        }  # fmt: skip

    def _read(self, path):
        try:
            with open(os.path.join(self._folder, path), "rb") as file:
                return {"data": _b64(file.read())}
        except OSError as error:
            return {"error": "FileNotFoundError", "message": str(error)}

    def _write(self, path, data):
        target = os.path.join(self._folder, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file:
            file.write(base64.b64decode(data))
        return {}

    def _report(self, ctrf):
        failed = [test for test in ctrf["results"]["tests"] if test["status"] != "passed"]
        with open(self._reward, "w") as file:
            file.write("0\n" if failed or not ctrf["results"]["tests"] else "1\n")
        return {}


def _b64(data):
    return base64.b64encode(data).decode()


class Workspace:
    """The code under test."""

    def __init__(self):
        self._channel = None

    def connect(self, channel):
        self._channel = channel

    def run(self, argv, stdin=b"", timeout=_CALL_SECONDS, cwd="."):
        """Run a command there."""
        answer = self._ask("run", argv=list(argv), stdin=_b64(stdin), timeout=timeout, cwd=cwd)
        return RunResult(
            answer["exit_code"], base64.b64decode(answer["stdout"]), base64.b64decode(answer["stderr"]),
            answer["timed_out"],
        )  # fmt: skip

    def python(self, *arguments, stdin=b"", timeout=_CALL_SECONDS, cwd="."):
        """Run the workspace's Python code as a program: `python("-m", "report", "in.csv")`."""
        boot = "import runpy,sys,os;sys.path.insert(0,os.getcwd());"
        if arguments[0] == "-m":
            boot += f"sys.argv=sys.argv[1:];sys.argv[0]={arguments[1]!r};runpy.run_module({arguments[1]!r},run_name='__main__',alter_sys=True)"
            rest = [arguments[1], *arguments[2:]]
        else:
            boot += f"sys.argv=sys.argv[1:];runpy.run_path({arguments[0]!r},run_name='__main__')"
            rest = list(arguments)
        return self.run(["python3", "-I", "-S", "-c", boot, *rest], stdin=stdin, timeout=timeout, cwd=cwd)

    def read(self, path):
        """The bytes of a file there."""
        return base64.b64decode(self._ask("read", path=path)["data"])

    def write(self, path, data):
        """Put a file there."""
        self._ask("write", path=path, data=_b64(data))

    def call(self, target, *args, **kwargs):
        """Call `module:function` there, in a fresh Python; arguments and result are JSON."""
        return self._result(self._python([{"target": target, "args": args, "kwargs": kwargs}])[0])

    def calls(self, *requests):
        """Call several times in one process: each request is (target, *args). Exceptions come as RemoteError values."""
        items = [{"target": target, "args": args, "kwargs": {}} for target, *args in requests]
        return [RemoteError(a["error"], a["message"]) if "error" in a else a["value"] for a in self._python(items)]

    def script(self, source, *args, timeout=_CALL_SECONDS):
        """Run a script there that may import the workspace's modules, reads `args`, and sets `result`."""
        return self._result(self._python([{"script": source, "args": args}], timeout)[0])

    def _python(self, items, timeout=_CALL_SECONDS):
        done = self.run(["python3", "-I", "-S", "-c", _RUNNER], stdin=json.dumps(items).encode(), timeout=timeout)
        try:
            answers = _answer_of(done.stdout)
            assert len(answers) == len(items)
            assert all(isinstance(a, dict) and ("value" in a) != ("error" in a) for a in answers)
        except (ValueError, TypeError, AssertionError, RecursionError):
            reason = "timed out" if done.timed_out else f"exit code {done.exit_code}"
            words = done.stderr.decode(errors="replace").strip()[-500:]
            raise RemoteError("NoAnswer", f"{reason}: {words}") from None
        return answers

    def _result(self, answer):
        if "error" in answer:
            raise RemoteError(str(answer["error"]), str(answer.get("message", "")))
        return answer["value"]

    def _ask(self, operation, **fields):
        answer = self._channel.ask(operation, **fields)
        if "error" in answer:
            raise RemoteError(answer["error"], answer.get("message", ""))
        return answer


workspace = Workspace()


def _short(text):
    return _clean(str(text)[-_MESSAGE_CHARACTERS:])


def _told(err):
    """What an exception says; an exception whose text cannot be made has failed all the same."""
    try:
        return f"{err[0].__name__}: {_short(err[1])}"
    except Exception as error:
        return f"{err[0].__name__} ({type(error).__name__} in its text)"


def _compare_plainly():
    """Let a failed comparison show the first characters of both values: a diff of hostile ones can take for ever."""
    unittest.TestCase._getAssertEqualityFunc = lambda case, first, second: case._baseAssertEqual
    kinds = {"MultiLine": str, "List": list, "Tuple": tuple, "Dict": dict, "Set": (set, frozenset)}
    for name, kind in kinds.items():
        setattr(unittest.TestCase, f"assert{name}Equal", _equal_of(kind))
    unittest.TestCase.assertSequenceEqual = _sequences_equal


def _equal_of(kind):
    def equal(case, first, second, msg=None):
        case.assertIsInstance(first, kind, msg)
        case.assertIsInstance(second, kind, msg)
        case._baseAssertEqual(first, second, msg)

    return equal


def _sequences_equal(case, first, second, msg=None, seq_type=None):
    if seq_type is not None:
        case.assertIsInstance(first, seq_type, msg)
        case.assertIsInstance(second, seq_type, msg)
    case._baseAssertEqual(list(first), list(second), msg)


class _Report(unittest.TestResult):
    """Collects results for CTRF."""

    def __init__(self):
        super().__init__()
        self.tests = []
        self._began = 0.0
        self._current = None

    def startTest(self, test):
        super().startTest(test)
        self._began = time.monotonic()
        self._current = {"name": _clean(test.id()), "status": "passed", "message": ""}

    def stopTest(self, test):
        super().stopTest(test)
        self._current["duration"] = round((time.monotonic() - self._began) * 1000)
        self.tests.append(self._current)

    def _mark(self, status, message):
        if self._current is None:  # a class or module that could not be set up: its tests are missing
            self.tests.append({"name": "setup", "status": "failed", "message": _short(message), "duration": 0})
        else:
            self._current.update(status=status, message=_short(message))

    def addFailure(self, test, err):
        self._mark("failed", _told(err))

    def addError(self, test, err):
        self._mark("failed", _told(err))

    def addSkip(self, test, reason):
        self._mark("skipped", reason)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self._mark("failed", f"{_short(subtest)}: {_told(err)}")

    def addUnexpectedSuccess(self, test):
        self._mark("failed", "unexpected success")

    def ctrf(self):
        counts = {
            status: sum(test["status"] == status for test in self.tests) for status in ("passed", "failed", "skipped")
        }
        return {
            "reportFormat": "CTRF",
            "specVersion": "0.0.0",
            "results": {
                "tool": {"name": "synthbench_verify"},
                "summary": {"tests": len(self.tests), **counts, "pending": 0, "other": 0},
                "tests": self.tests,
            },
        }


def _run_within(budget, folder, report):
    """Run the tests; those that could not begin are missing in the report, and so have failed."""
    budget.start()
    try:
        unittest.TestLoader().discover(folder, pattern="test_*.py").run(report)
        budget.stop()
    except (TooLong, MemoryError, RecursionError) as error:  # between two tests
        budget.stop()
        report.tests.append({"name": "tests", "status": "failed", "message": _short(error), "duration": 0})


def main():
    """Run all tests of a folder and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tests", required=True)
    parser.add_argument("--socket")
    parser.add_argument("--workspace", default="/workspace")
    parser.add_argument("--cpu-seconds", type=float, default=300.0, help="processor time of the tests themselves")
    parser.add_argument("--reward", default="/logs/verifier/reward.txt")
    options = parser.parse_args()
    channel = _Socket(options.socket) if options.socket else _Local(options.workspace, options.reward)
    sys.modules["synthbench_verify"] = sys.modules[__name__]
    workspace.connect(channel)
    sys.path.insert(0, options.tests)
    _compare_plainly()
    if options.socket:
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    report = _Report()
    _run_within(_Budget(options.cpu_seconds), options.tests, report)
    channel.ask("report", ctrf=report.ctrf())


if __name__ == "__main__":
    main()
