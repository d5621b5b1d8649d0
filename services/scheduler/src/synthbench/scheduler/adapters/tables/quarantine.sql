-- name: failures_of_task
-- Failures since the last attempt of this task that ended by the agent's own doing, over how many rollouts, submitters
-- (campaigns, where all is one submitter's) and executors, and whether other tasks fared better meanwhile. An executor that dies takes all its attempts along: that is
-- one failure a minute. What failed after the agent had begun may be its model's doing: it counts where two routes failed.
with failed as (
    select a.rollout_id, a.executor, a.closed_at, r.campaign, s.submitter, a.started_at is not null as begun,
           coalesce(r.body->>'route', '') as route
    from attempts a join rollouts r using (rollout_id) join submissions s using (submission_id)
    where r.body->'task'->>'digest' = %(digest)s and a.outcome = 'infra_error' and not a.released
      and a.closed_at > coalesce((
          select max(b.closed_at) from attempts b join rollouts q using (rollout_id)
          where q.body->'task'->>'digest' = %(digest)s and b.outcome not in ('infra_error', 'cancelled')), '-infinity')
      and a.closed_at > coalesce((select since from quarantine_released where task_digest = %(digest)s), '-infinity')),
own as (
    select * from failed
    where not begun or route = '' or (select count(distinct route) from failed where begun) > 1)
select count(distinct (executor, date_trunc('minute', closed_at)))::int as failures,
       count(distinct rollout_id)::int as rollouts,
       (case when exists (select 1 from submissions x where x.submitter <> (select min(submitter) from own))
             then count(distinct submitter) else count(distinct campaign) end)::int as sources,
       (select count(distinct executor)::int from attempts where claimed_at > now() - interval '1 hour') as executors,
       exists (select 1 from attempts b join rollouts q using (rollout_id)
               where q.body->'task'->>'digest' <> %(digest)s and b.outcome not in ('infra_error', 'cancelled')
                 and b.closed_at > (select min(closed_at) from own)) as others_fare_better
from own;

-- name: insert
insert into quarantine (task_digest, task_name, reason) values (%(digest)s, %(name)s, %(reason)s)
on conflict do nothing returning task_digest;

-- name: release
with gone as (delete from quarantine where task_digest = %(digest)s returning task_digest)
insert into quarantine_released (task_digest) select task_digest from gone
on conflict (task_digest) do update set since = now()
returning task_digest;
