"""The command: python3 -m jobs PLAN.json [--state STATE.json]. A job's work is the script ./<name>.sh."""

import argparse
import os
import subprocess
import sys

from jobs.model import PlanError
from jobs.report import problems, summary
from jobs.runner import Runner
from jobs.store import load, save


def work(name):
    """Run the script ./<name>.sh."""
    subprocess.run(["sh", f"./{name}.sh"], check=True)


def main(arguments=None):
    """Run a plan; go on with the state file if there is one."""
    parser = argparse.ArgumentParser(prog="jobs")
    parser.add_argument("plan")
    parser.add_argument("--state")
    options = parser.parse_args(arguments)
    try:
        found = options.state and os.path.exists(options.state)
        jobs = load(options.state if found else options.plan)
        changed = (lambda jobs: save(options.state, jobs)) if options.state else (lambda jobs: None)
        complete = Runner(jobs, work, changed=changed).run()
    except (OSError, PlanError) as error:
        print(f"jobs: {error}", file=sys.stderr)
        return 2
    for line in problems(jobs):
        print(line, file=sys.stderr)
    print(summary(jobs))
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
