"""A catalogue of any size, and the lists that people ask it for."""

FACETS = [
    "", "campaign:c7", "task:t78", "scaffold:s1", "model:m3", "outcome:solved", "verdict:accept", "category:k2",
    "outcome:solved verdict:accept", "-scaffold:s0", "reward>=0.9", "steps>95", "stored>2026-11-20", "counted:true",
    "task:t78 outcome:solved -model:m1", "imported:none", "rare words", "curation:admitted task:t5",
]  # fmt: skip
"""Filters, each of which finds something."""
_GENERATE = """
insert into trajectories (trajectory_id, rollout_id, attempt, submission_id, campaign, counted, task, category,
    difficulty, scaffold, route, model, outcome, reward, steps, seconds, input_tokens, output_tokens, cost_microusd,
    cost_known, simulated, forgeable, detail, artifact, verdict, curation, stored_at)
select gen_random_uuid(), gen_random_uuid(), 1, gen_random_uuid(), 'c' || n % 50, n % 9 > 0, 't' || n % 1000,
    'k' || n % 10, 'easy', 's' || n % 5, 'r' || n % 20, 'm' || n % 20,
    case when n % 3 = 0 then 'solved' else 'unsolved' end, (n % 100) / 100.0, n % 100, n % 900, n % 100000, n % 1000, n,
    true, false, false, '', '{{}}', case n % 4 when 0 then 'accept' when 1 then 'reject' end,
    case n % 5 when 0 then 'admitted' end, timestamptz '2026-10-01' + n * (interval '60 days' / {rows})
from generate_series(1, {rows}) n
"""
_WORDS = """
insert into trajectory_words (trajectory_id, stored_at, words)
select trajectory_id, stored_at, to_tsvector(
    'simple', task || ' common' || case when steps = 7 then ' rare words' else '' end
)
from trajectories
"""
_ATTEMPTS = """
insert into attempts (rollout_id, attempt, submission_id, campaign, state, created_at)
select rollout_id, attempt, submission_id, campaign, case when steps = 7 and seconds < 40 then 'open' else 'stored' end,
       stored_at
from trajectories
"""
_STEPS = """
insert into steps (attempt_at, rollout_id, attempt, index, submission_id, digest, body)
select stored_at, rollout_id, attempt, n, submission_id, 'sha256:0', '{"index": ' || n || '}'
from trajectories, generate_series(0, 4) n
"""


def statements(rows: int, *, steps: bool = False) -> list[str]:
    """What makes so many trajectories over sixty days, with words and attempts; with five steps each, if wanted."""
    tables = ["trajectories", "trajectory_words", "attempts", *(["steps"] if steps else [])]
    made = [_GENERATE.format(rows=rows), _WORDS, _ATTEMPTS, *([_STEPS] if steps else [])]
    return ["set synthbench.rebuilding = on", *made, *(f"analyze {table}" for table in tables)]
