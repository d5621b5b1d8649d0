-- name: find_submission
select s.submission_id, s.submitter, s.campaign, s.state, s.task, s.pool, s.errors, s.body, s.max_cost_microusd, s.created_at,
       s.finished_at,
       (select max(paused(r.campaign, (r.body->>'simulated')::boolean)) from rollouts r
        where r.submission_id = s.submission_id and r.state in ('planned', 'ready')
          and not exists (select 1 from rollouts q where q.submission_id = s.submission_id and q.state = 'running')
       ) as paused
from submissions s where s.submission_id = %(submission_id)s;

-- name: rollouts_of_submission
select rollout_id, state, attempts, pool, (body->>'sample')::int as sample, changed_at
from rollouts where submission_id = %(submission_id)s order by sample;

-- name: attempts_of_submission
select a.rollout_id, a.attempt, a.executor, a.claimed_at, a.started_at, a.closed_at, a.steps, a.outcome, a.counted, a.reason
from attempts a join rollouts r using (rollout_id)
where r.submission_id = %(submission_id)s order by a.rollout_id, a.attempt;

-- name: find_rollout
select r.rollout_id, r.submission_id, r.campaign, r.state, r.pool, r.priority, r.created_at, r.changed_at,
       jsonb_build_object('scaffold_args', coalesce(s.body->'scaffold_args', '{}')) || r.body as body
from rollouts r join submissions s using (submission_id) where r.rollout_id = %(rollout_id)s;

-- name: attempts_of_rollout
select attempt, executor, claimed_at, started_at, closed_at, steps, outcome, counted, reason from attempts
where rollout_id = %(rollout_id)s order by attempt;

-- name: quarantined
select task_digest, task_name, reason, since from quarantine
where %(digest)s::text is null or task_digest = %(digest)s order by since desc;

-- name: list_campaigns
select coalesce(c.campaign, s.campaign) as campaign, c.cost_cap_microusd, coalesce(c.epoch, 0) as epoch,
       case when c.paused_at is not null and (c.paused_until is null or c.paused_until > now()) then c.paused_at end
           as paused_at,
       c.paused_until, coalesce(c.reason, '') as reason, coalesce(s.submissions, 0) as submissions,
       coalesce(s.open, 0) as open
from campaigns c full join (
    select campaign, count(*) as submissions, count(*) filter (where state = 'open') as open
    from submissions group by campaign) s using (campaign)
order by 1;

-- name: count_submissions
select count(*) as submissions, count(*) filter (where state = 'open') as open from submissions;

-- name: unfinished_rollouts
select state, count(*) as rollouts from rollouts where state in ('planned', 'ready', 'running', 'closed')
group by state order by state;

-- name: ungraded_shares
select coalesce(r.body->>'route', '') as route, coalesce(r.body->'task'->>'name', '') as task, count(*)::int as ended,
       (count(*) filter (where a.outcome = 'infra_error'))::int as ungraded
from attempts a join rollouts r using (rollout_id)
where a.closed_at > now() - interval '1 hour' and a.outcome <> 'cancelled' and not a.released
group by 1, 2 order by ungraded desc, ended desc limit 50;

-- name: submissions
select submission_id, campaign, state, task, pool, errors, created_at, finished_at,
       body->>'scaffold' as scaffold, body->>'route' as route,
       (select count(*) from rollouts r where r.submission_id = submissions.submission_id) as rollouts,
       (select count(*) from rollouts r where r.submission_id = submissions.submission_id
        and r.state in ('curated', 'failed', 'cancelled')) as finished
from submissions;

-- name: movable
-- A condition for a list of submissions.
exists (
    select 1 from rollouts r where r.submission_id = submissions.submission_id
    and r.state not in ('curated', 'failed', 'cancelled')
    and (r.state not in ('planned', 'ready') or paused(r.campaign, (r.body->>'simulated')::boolean) is null));

-- name: rollouts
select rollout_id, submission_id, campaign, state, attempts, pool, priority, body->'task'->>'name' as task,
       body->>'scaffold' as scaffold, body->>'route' as route, (body->>'sample')::int as sample, created_at, changed_at
from rollouts;
