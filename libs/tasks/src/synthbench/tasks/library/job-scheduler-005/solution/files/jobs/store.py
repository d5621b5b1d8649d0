"""Plans and their state as JSON files."""

import json
import os
from dataclasses import asdict, fields

from jobs.model import Job, PlanError


def load(path):
    """Read a plan, or a state that `save` wrote. Unknown fields are an error."""
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except ValueError as error:
        raise PlanError(f"{path}: no JSON: {error}") from None
    known = {field.name for field in fields(Job)}
    jobs = []
    for entry in content["jobs"]:
        unknown = sorted(set(entry) - known)
        if unknown or "name" not in entry:
            raise PlanError(f"{path}: {entry.get('name', '?')}: {', '.join(unknown) or 'has no name'}")
        jobs.append(Job(**entry))
    return jobs


def save(path, jobs):
    """Write the state, whole or not at all."""
    draft = f"{path}.new"
    with open(draft, "w", encoding="utf-8") as file:
        json.dump({"jobs": [asdict(job) for job in jobs]}, file)
    os.replace(draft, path)
