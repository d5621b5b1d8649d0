"""Whatever code under test answers, the tests come to a verdict: an answer that cannot be compared is a failed test."""

import time

import pytest

from synthbench.tasks.library import load_library_task

from .twosides import verify_changes

PACKAGE = load_library_task("simple-task-001")
PASSES = PACKAGE.solution_changes()
ANSWERS = "def line_total(*a, **k): return ANSWER\ninvoice_total = summary = line_total\n"
WRITES = "import os\nfor fd in range(3, 12):\n    try: os.write(fd, DATA)\n    except OSError: pass\nos._exit(0)\n"
"""The answer's own descriptor is among these."""

VALUES = {
    "half of a surrogate pair": "'\\ud800'",
    "NUL": "'a\\0b'",
    "not a number": "float('nan')",
    "infinity": "float('inf')",
    "many values": "[0] * 300_000",
    "nested deeply": "(lambda f: f(f, 900))(lambda f, n: [f(f, n - 1)] if n else 0)",
    "nested and wide": "[[[[['3.0%d' % (i % 10) for i in range(26_000)]]]]]",
    "lines that are alike": "''.join('%d the same line but its number\\n' % (i * 7919 % 5000) for i in range(1500))",
    "a mapping of many keys": "{'net%d' % i: {'a': [i]} for i in range(20_000)}",
    "a long text": "'\\u20ac' * 150_000",
}
RAISED = {
    "half of a surrogate pair": "raise Exception('\\ud800')",
    "NUL": "raise Exception('a\\0b')",
    "a type named by half a pair": "raise type('E\\ud800', (Exception,), {})('x')",
    "an exit": "raise SystemExit(3)",
    "a text that cannot be made": "class E(Exception):\n    def __str__(self): raise self\nraise E",
}
WRITTEN = {
    "nested beyond any parser": "b'[' * 200_000 + b']' * 200_000",
    "a number of many digits": "b'[{\"value\":' + b'9' * 6000 + b'}]'",
    "an error that is an object": 'b\'[{"error":{"a":1},"message":[1,2]}]\'',
    "empty lists": "b'[' + b'[],' * 300_000 + b'[]]'",
    "no UTF-8": 'b\'[{"value":"\\xff\\xfe"}]\'',
    "UTF-16": "'[{\"value\":1}]'.encode('utf-16')",
}
CASES = [
    *(pytest.param(ANSWERS.replace("ANSWER", value), id=f"answers {name}") for name, value in VALUES.items()),
    *(pytest.param(code, id=f"raises {name}") for name, code in RAISED.items()),
    *(pytest.param(WRITES.replace("DATA", data), id=f"writes {name}") for name, data in WRITTEN.items()),
]


@pytest.mark.parametrize("code", CASES)
async def test_a_hostile_answer_is_a_failed_test(code: str):
    began = time.process_time()
    grade, _ = await verify_changes(PACKAGE, {"billing/__init__.py": code.encode("utf-8")})
    assert grade.reward == 0.0
    assert time.process_time() - began < 10
    for test in grade.tests:
        assert len(test.message) <= 2000
        assert "\0" not in test.message
        test.message.encode()


async def test_the_solution_passes_beside_them():
    grade, _ = await verify_changes(PACKAGE, PASSES)
    assert grade.reward == 1.0
