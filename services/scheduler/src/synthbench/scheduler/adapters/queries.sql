-- name: insert_submission
insert into submissions (submission_id, submitter, campaign, body, task, pool, state, errors, max_cost_microusd, finished_at)
values (%(submission_id)s, %(submitter)s, %(campaign)s, %(body)s, %(task)s, %(pool)s, %(state)s, %(errors)s, %(max_cost)s,
        case when %(state)s = 'rejected' then now() end)
on conflict (submission_id) do nothing
returning submission_id;

-- name: submitter_of
select submitter from submissions where submission_id = %(submission_id)s;

-- name: campaign_rights
-- Whose the cap of a campaign is, and whether anybody else submits into it.
select (select owner from campaigns where campaign = %(campaign)s) as owner,
       exists (select 1 from submissions
               where campaign = %(campaign)s and submitter <> %(submitter)s and state <> 'rejected') as shared;

-- name: insert_rollout
insert into rollouts (rollout_id, submission_id, campaign, body, pool, priority, state)
values (%(rollout_id)s, %(submission_id)s, %(campaign)s, %(body)s, %(pool)s, %(priority)s, 'planned');

-- name: lock_rollout
-- What the rollouts of a submission share and may be large is kept once, in the submission.
select r.rollout_id, r.submission_id, r.campaign, r.state, r.attempts, s.max_cost_microusd,
       jsonb_build_object('scaffold_args', coalesce(s.body->'scaffold_args', '{}')) || r.body as body,
       c.cost_cap_microusd, coalesce(c.epoch, 0) as campaign_epoch,
       paused(r.campaign, (r.body->>'simulated')::boolean) as paused
from rollouts r join submissions s using (submission_id) left join campaigns c on c.campaign = r.campaign
where r.rollout_id = %(rollout_id)s
for update of r;

-- name: open_attempt
select attempt, executor, lease_expires, deadline, started_at, released
from attempts where rollout_id = %(rollout_id)s and closed_at is null
for update;

-- name: insert_attempt
insert into attempts (rollout_id, attempt, executor, lease_expires, deadline)
values (%(rollout_id)s, %(attempt)s, %(executor)s, now() + %(lease)s * interval '1 second',
        now() + %(seconds)s * interval '1 second')
returning deadline;

-- name: renew_attempt
update attempts set lease_expires = now() + %(lease)s * interval '1 second'
where rollout_id = %(rollout_id)s and attempt = %(attempt)s
returning deadline;

-- name: rollout_running
update rollouts set state = 'running', attempts = %(attempt)s, changed_at = now() where rollout_id = %(rollout_id)s
returning pool, extract(epoch from now() - greatest(created_at, not_before))::float8 as waited;

-- name: heartbeat
update attempts a set lease_expires = now() + %(lease)s * interval '1 second', steps = greatest(a.steps, %(steps)s)
from rollouts r
where a.rollout_id = %(rollout_id)s and a.attempt = %(attempt)s and a.executor = %(executor)s
  and a.closed_at is null and a.lease_expires > now() and r.rollout_id = a.rollout_id
returning r.state;

-- name: attempt_state
select a.closed_at, a.outcome, a.counted, r.state
from attempts a join rollouts r using (rollout_id)
where a.rollout_id = %(rollout_id)s and a.attempt = %(attempt)s;

-- name: given_back
select attempt from attempts where rollout_id = %(rollout_id)s and released order by attempt;

-- name: attempt_started
update attempts set started_at = coalesce(started_at, %(started_at)s)
where rollout_id = %(rollout_id)s and attempt = %(attempt)s and closed_at is null;

-- name: close_attempt
update attempts set closed_at = now(), outcome = %(outcome)s, counted = %(counted)s, reason = %(reason)s,
                    steps = greatest(steps, %(steps)s)
where rollout_id = %(rollout_id)s and attempt = %(attempt)s and closed_at is null
returning attempt;

-- name: settle_rollout
update rollouts set state = %(state)s, changed_at = now(),
                    not_before = now() + %(retry_after)s * interval '1 second'
where rollout_id = %(rollout_id)s;

-- name: lock_submission
select submission_id from submissions where submission_id = %(submission_id)s for update;

-- name: finish_submission
-- A submission is over when nothing of it can still move.
update submissions s
set state = case when exists (select 1 from rollouts r where r.submission_id = s.submission_id and r.state = 'cancelled')
                 then 'cancelled'
                 when exists (select 1 from rollouts r where r.submission_id = s.submission_id and r.state = 'curated')
                 then 'done'
                 else 'failed' end,
    finished_at = now()
where s.submission_id = %(submission_id)s and s.state = 'open'
  and not exists (select 1 from rollouts r where r.submission_id = s.submission_id
                  and r.state not in ('curated', 'failed', 'cancelled'));

-- name: expired_attempts
select a.rollout_id, a.attempt, a.executor, a.steps
from attempts a
where a.closed_at is null and a.lease_expires < now()
order by a.lease_expires
limit 50;

-- name: cancel_rollouts
-- What waits is cancelled at once; what runs is told at its next heartbeat.
update rollouts set state = 'cancelled', changed_at = now()
where (rollout_id = %(rollout_id)s or submission_id = %(submission_id)s or campaign = %(campaign)s)
  and state in ('planned', 'ready', 'running')
  and (%(submitter)s::text is null
       or submission_id in (select submission_id from submissions where submitter = %(submitter)s))
returning rollout_id, submission_id;

-- name: count_ready
select pool, count(*) as ready from rollouts where state = 'ready' group by pool;

-- name: pools_waiting
select distinct pool from rollouts
where state = 'planned' and not_before <= now() and paused(campaign, (body->>'simulated')::boolean) is null;

-- name: take_planned
update rollouts r set state = 'ready', ready_count = ready_count + 1, changed_at = now()
from submissions s
where s.submission_id = r.submission_id and r.rollout_id in (
    select rollout_id from rollouts
    where state = 'planned' and pool = %(pool)s and not_before <= now()
      and paused(campaign, (body->>'simulated')::boolean) is null
    order by priority, created_at, rollout_id
    limit %(limit)s
    for update skip locked)
returning r.rollout_id, jsonb_build_object('scaffold_args', coalesce(s.body->'scaffold_args', '{}')) || r.body as body, r.ready_count;

-- name: feeder_lock
select pg_try_advisory_xact_lock(hashtext('scheduler.feeder')) as mine;

-- name: curated
update rollouts set state = 'curated', changed_at = now()
where rollout_id = %(rollout_id)s and state = 'closed'
returning submission_id;

-- name: find_submission
select s.submission_id, s.submitter, s.campaign, s.state, s.task, s.pool, s.errors, s.body, s.max_cost_microusd, s.created_at,
       s.finished_at,
       (select max(paused(r.campaign, (r.body->>'simulated')::boolean)) from rollouts r
        where r.submission_id = s.submission_id and r.state in ('planned', 'ready')
          and not exists (select 1 from rollouts q where q.submission_id = s.submission_id and q.state = 'running')
       ) as paused
from submissions s where s.submission_id = %(submission_id)s;

-- name: rollouts_of
select rollout_id, state, attempts, pool, (body->>'sample')::int as sample, changed_at
from rollouts where submission_id = %(submission_id)s order by sample;

-- name: attempts_of
select a.rollout_id, a.attempt, a.executor, a.claimed_at, a.started_at, a.closed_at, a.steps, a.outcome, a.counted, a.reason
from attempts a join rollouts r using (rollout_id)
where r.submission_id = %(submission_id)s order by a.rollout_id, a.attempt;

-- name: release_attempt
update attempts set released = true
where rollout_id = %(rollout_id)s and attempt = %(attempt)s and executor = %(executor)s and closed_at is null
returning attempt;

-- name: failures_of_rollout
select count(*)::int as failures from attempts
where rollout_id = %(rollout_id)s and closed_at is not null and outcome = 'infra_error' and not released;

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

-- name: quarantine
insert into quarantine (task_digest, task_name, reason) values (%(digest)s, %(name)s, %(reason)s)
on conflict do nothing returning task_digest;

-- name: fail_waiting_of_task
update rollouts set state = 'failed', changed_at = now()
where body->'task'->>'digest' = %(digest)s and state in ('planned', 'ready')
returning submission_id;

-- name: fail_waiting_of_submission
update rollouts set state = 'failed', changed_at = now()
where submission_id = %(submission_id)s and state in ('planned', 'ready');

-- name: quarantined
select task_digest, task_name, reason, since from quarantine
where %(digest)s::text is null or task_digest = %(digest)s order by since desc;

-- name: release_quarantine
with gone as (delete from quarantine where task_digest = %(digest)s returning task_digest)
insert into quarantine_released (task_digest) select task_digest from gone
on conflict (task_digest) do update set since = now()
returning task_digest;

-- name: overdue_ready
-- Its message was lost with the bus, or waits behind long attempts: one more message does no harm.
update rollouts set state = 'planned', changed_at = now()
where state = 'ready' and changed_at < now() - %(seconds)s * interval '1 second'
returning rollout_id;

-- name: overdue_closed
-- Closed and counted, and yet not at the end of the road.
select r.rollout_id, a.attempt from rollouts r join attempts a on a.rollout_id = r.rollout_id and a.counted
where r.state = 'closed' and r.changed_at < now() - %(seconds)s * interval '1 second'
order by r.changed_at limit 100;

-- name: touch_rollout
update rollouts set changed_at = now() where rollout_id = %(rollout_id)s;

-- name: unready
update rollouts set state = 'planned', changed_at = now() where rollout_id = %(rollout_id)s and state = 'ready';

-- name: excuse_attempt
update attempts set released = true where rollout_id = %(rollout_id)s and attempt = %(attempt)s;

-- name: set_campaign_cap
-- A greater cap lets a campaign go on that its cap had stopped.
insert into campaigns as c (campaign, cost_cap_microusd, epoch, owner)
values (%(campaign)s, %(cap)s, 1, nullif(%(owner)s, 'operator'))
on conflict (campaign) do update set
    cost_cap_microusd = excluded.cost_cap_microusd,
    owner = coalesce(c.owner, excluded.owner),
    epoch = c.epoch + 1,
    paused_at = case when excluded.cost_cap_microusd > c.cost_cap_microusd then null else c.paused_at end
where c.cost_cap_microusd is distinct from excluded.cost_cap_microusd;

-- name: pause_campaign
-- The budgets of the calendar have no epoch here: what was said of them before all went on again is old, and of two the
-- one that lasts longer pauses.
insert into campaigns as c (campaign, epoch, paused_at, paused_until, reason)
values (%(campaign)s, %(epoch)s, now(), %(until)s, %(reason)s)
on conflict (campaign) do update set
    paused_at = now(), paused_until = excluded.paused_until, reason = excluded.reason
where case when c.campaign = '*' then %(said_at)s > coalesce(c.resumed_at, '-infinity')
                                  and (c.paused_at is null or c.paused_until < excluded.paused_until)
           else c.epoch <= excluded.epoch end;

-- name: resume_campaign
insert into campaigns as c (campaign, cost_cap_microusd, epoch)
select %(campaign)s, %(cap)s, 1
where %(campaign)s = '*' or exists (select 1 from submissions where campaign = %(campaign)s)
on conflict (campaign) do update set
    cost_cap_microusd = coalesce(excluded.cost_cap_microusd, c.cost_cap_microusd),
    epoch = c.epoch + 1, paused_at = null, resumed_at = now(), reason = ''
returning campaign, cost_cap_microusd, epoch;

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

-- name: ungraded_shares
select coalesce(r.body->>'route', '') as route, coalesce(r.body->'task'->>'name', '') as task, count(*)::int as ended,
       (count(*) filter (where a.outcome = 'infra_error'))::int as ungraded
from attempts a join rollouts r using (rollout_id)
where a.closed_at > now() - interval '1 hour' and a.outcome <> 'cancelled' and not a.released
group by 1, 2 order by ungraded desc, ended desc limit 50;

-- name: unfinished_rollouts
select state, count(*) as rollouts from rollouts where state in ('planned', 'ready', 'running', 'closed')
group by state order by state;

-- name: find_rollout
select r.rollout_id, r.submission_id, r.campaign, r.state, r.pool, r.priority, r.created_at, r.changed_at,
       jsonb_build_object('scaffold_args', coalesce(s.body->'scaffold_args', '{}')) || r.body as body
from rollouts r join submissions s using (submission_id) where r.rollout_id = %(rollout_id)s;

-- name: attempts_of_rollout
select attempt, executor, claimed_at, started_at, closed_at, steps, outcome, counted, reason from attempts
where rollout_id = %(rollout_id)s order by attempt;

-- name: announce_scaffolds
insert into scaffolds (name, resumable)
select name, resumable from unnest(%(names)s::text[], %(resumable)s::boolean[]) as offer (name, resumable) order by name
on conflict (name) do update set resumable = excluded.resumable, announced_at = now()
where scaffolds.resumable <> excluded.resumable;

-- name: announced_scaffolds
select name, resumable from scaffolds;
