"""The lists of the HTTP API."""

from datetime import datetime
from uuid import UUID

from psycopg import sql

from synthbench.storage.pages import Listing, Order

SUBMISSIONS = Listing(
    """
select submission_id, campaign, state, task, pool, errors, created_at, finished_at,
       body->>'scaffold' as scaffold, body->>'route' as route,
       (select count(*) from rollouts r where r.submission_id = submissions.submission_id) as rollouts,
       (select count(*) from rollouts r where r.submission_id = submissions.submission_id
        and r.state in ('curated', 'failed', 'cancelled')) as finished
from submissions""",
    Order({"created_at": datetime, "submission_id": UUID}),
)
MOVABLE = sql.SQL("""exists (
    select 1 from rollouts r where r.submission_id = submissions.submission_id
    and r.state not in ('curated', 'failed', 'cancelled')
    and (r.state not in ('planned', 'ready') or paused(r.campaign, (r.body->>'simulated')::boolean) is null))""")
"""Not everything of a submission waits in a paused campaign."""
ROLLOUTS = Listing(
    """
select rollout_id, submission_id, campaign, state, attempts, pool, priority, body->'task'->>'name' as task,
       body->>'scaffold' as scaffold, body->>'route' as route, (body->>'sample')::int as sample, created_at, changed_at
from rollouts""",
    Order({"created_at": datetime, "rollout_id": UUID}),
)
