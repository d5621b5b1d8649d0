"""Who needs whom."""

from jobs.model import PlanError


def check_plan(jobs):
    """Refuse doubled names, unknown needs and cycles; the error names the jobs."""
    names = [job.name for job in jobs]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise PlanError(f"doubled: {', '.join(doubled)}")
    known = set(names)
    for job in jobs:
        unknown = [need for need in job.needs if need not in known]
        if unknown:
            raise PlanError(f"{job.name} needs unknown {', '.join(unknown)}")
    cycle = find_cycle(jobs)
    if cycle:
        raise PlanError(f"cycle: {' -> '.join(cycle)}")


def find_cycle(jobs):
    """Return the names along a cycle, the first repeated at the end; [] if there is none."""
    needs = {job.name: job.needs for job in jobs}
    finished = set()

    def visit(name, path):
        if name in path:
            circle = path[path.index(name) :]
            first = circle.index(min(circle))
            return [*circle[first:], *circle[: first + 1]]
        if name in finished:
            return []
        for need in needs[name]:
            found = visit(need, [*path, name])
            if found:
                return found
        finished.add(name)
        return []

    for name in sorted(needs):
        found = visit(name, [])
        if found:
            return found
    return []


def dependents(jobs, name):
    """Return the names of all jobs that need `name`, directly or through others."""
    found = set()
    grew = True
    while grew:
        grew = False
        for job in jobs:
            if job.name not in found and any(need == name or need in found for need in job.needs):
                found.add(job.name)
                grew = True
    return found
