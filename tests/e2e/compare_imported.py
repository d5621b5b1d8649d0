"""Compare files of mini-swe-agent with what was exported of them after an import; of synth-bench it uses nothing.

    python compare_imported.py ORIGINALS EXPORTS

EXPORTS holds `<instance>.messages.json` and `<instance>.atif.json` for each `<instance>.traj.json` of ORIGINALS.
Prints what differs, a line each, and ends with 1 if anything does.
"""

import json
import re
import sys
from pathlib import Path


def problems(original: dict, messages: dict, atif: dict) -> list[str]:
    found: list[str] = []
    said = [{"role": one["role"], "content": one["content"]} for one in original["messages"]]
    if messages["messages"] != said:
        found.append(f"messages: {len(messages['messages'])} of {len(said)}, or other texts")
    turns = [one for one in original["messages"] if one["role"] == "assistant"]
    agent = [one for one in atif["steps"] if one["source"] == "agent"]
    if [one["message"] for one in agent] != [one["content"] for one in turns]:
        found.append(f"ATIF: {len(agent)} turns of {len(turns)}, or other texts")
    answers = [result["content"] for one in agent for result in one["observation"]["results"]]
    if answers != [one["content"] for one in said if one["role"] == "user"][1:]:
        found.append("ATIF: the observations are others")
    usage = [one["extra"]["response"]["usage"] for one in turns]
    for name in ("prompt_tokens", "completion_tokens"):
        told, wanted = [one["metrics"][name] for one in agent], [one[name] for one in usage]
        if told != wanted or atif["final_metrics"][f"total_{name}"] != sum(wanted):
            found.append(f"ATIF: {name} differ")
    cost = sum(one["cost"] for one in usage)
    if abs(atif["final_metrics"]["total_cost_usd"] - cost) > 1e-6 * len(usage):
        found.append(f"ATIF: it cost {cost}, not {atif['final_metrics']['total_cost_usd']}")
    codes = [int(code[1]) for one in said if (code := re.match(r"<returncode>(-?\d+)</returncode>", one["content"]))]
    told = [
        result["extra"]["synthbench"].get("exit_code")
        for one in agent
        for result in one["observation"]["results"]
        if "exit_code" in result.get("extra", {}).get("synthbench", {})
    ]
    if told != codes:
        found.append("ATIF: the exit codes differ")
    if atif["extra"]["synthbench"].get("patch", "") != original["info"]["submission"]:
        found.append("ATIF: the patch differs")
    return found


def main(originals: Path, exports: Path) -> int:
    broken, count = 0, 0
    for path in sorted(originals.glob("*.traj.json")):
        name = path.name.removesuffix(".traj.json")
        read = [json.loads(file.read_text()) for file in
                (path, exports / f"{name}.messages.json", exports / f"{name}.atif.json")]  # fmt: skip
        count += 1
        for problem in problems(*read):
            broken += 1
            print(f"{name}: {problem}")
    print(f"{count} trajectories compared, {broken} differences")
    return 1 if broken or not count else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
