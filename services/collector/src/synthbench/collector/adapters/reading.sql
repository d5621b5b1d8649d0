-- name: find_trajectory
select * from trajectories where trajectory_id = %(trajectory_id)s;

-- name: trajectory_of
-- The stored trajectory of an attempt, where it has steps behind an index.
select trajectory_id, artifact from trajectories
where rollout_id = %(rollout_id)s and attempt = %(attempt)s and steps > %(after)s + 1;

-- name: steps_after
select index, body from steps
where attempt_at = (select created_at from attempts where rollout_id = %(rollout_id)s and attempt = %(attempt)s)
  and rollout_id = %(rollout_id)s and attempt = %(attempt)s and index > %(after)s
order by index limit %(limit)s;

-- name: calls_of
select * from llm_calls where rollout_id = %(rollout_id)s and attempt = %(attempt)s order by started_at;

-- name: list_tasks
-- From one name to the next by the index; of each task its newest trajectory.
with recursive found as (
    (select task, category, difficulty, stored_at from trajectories where task > %(after)s
     order by task, stored_at desc, trajectory_id desc limit 1)
    union all
    select following.* from found cross join lateral (
        select task, category, difficulty, stored_at from trajectories where task > found.task
        order by task, stored_at desc, trajectory_id desc limit 1) following
)
select task, category, difficulty, stored_at as last_stored_at from found limit %(limit)s;

-- name: funnel
select * from funnel where %(campaign)s::text is null or campaign = %(campaign)s order by campaign;

-- name: yield_by_day
select day, sum(stored)::int as stored, sum(solved)::int as solved, sum(accepted)::int as accepted,
       sum(admitted)::int as admitted, sum(tokens)::bigint as tokens, sum(cost_microusd)::bigint as cost_microusd
from yield_by_day where %(campaign)s::text is null or campaign = %(campaign)s group by day order by day;
