-- name: insert
insert into rollouts (rollout_id, submission_id, campaign, body, pool, priority, state)
values (%(rollout_id)s, %(submission_id)s, %(campaign)s, %(body)s, %(pool)s, %(priority)s, 'planned');

-- name: lock
-- What the rollouts of a submission share and may be large is kept once, in the submission.
select r.rollout_id, r.submission_id, r.campaign, r.state, r.attempts, s.max_cost_microusd,
       jsonb_build_object('scaffold_args', coalesce(s.body->'scaffold_args', '{}')) || r.body as body,
       c.cost_cap_microusd, coalesce(c.epoch, 0) as campaign_epoch,
       paused(r.campaign, (r.body->>'simulated')::boolean) as paused
from rollouts r join submissions s using (submission_id) left join campaigns c on c.campaign = r.campaign
where r.rollout_id = %(rollout_id)s
for update of r;

-- name: lock_open_attempt
select attempt, executor, lease_expires, started_at, released
from attempts where rollout_id = %(rollout_id)s and closed_at is null
for update;

-- name: mark_running
update rollouts set state = 'running', attempts = %(attempt)s, changed_at = now() where rollout_id = %(rollout_id)s
returning pool, extract(epoch from now() - greatest(created_at, not_before))::float8 as waited;

-- name: settle
update rollouts set state = %(state)s, changed_at = now(),
                    not_before = now() + %(retry_after)s * interval '1 second'
where rollout_id = %(rollout_id)s;

-- name: mark_curated
update rollouts set state = 'curated', changed_at = now()
where rollout_id = %(rollout_id)s and state = 'closed'
returning submission_id;

-- name: cancel
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

-- name: put_back
update rollouts set state = 'planned', changed_at = now() where rollout_id = %(rollout_id)s and state = 'ready';

-- name: fail_waiting_of_task
update rollouts set state = 'failed', changed_at = now()
where body->'task'->>'digest' = %(digest)s and state in ('planned', 'ready')
returning submission_id;

-- name: fail_waiting_of_submission
update rollouts set state = 'failed', changed_at = now()
where submission_id = %(submission_id)s and state in ('planned', 'ready');

-- name: put_back_overdue
-- Its message was lost with the bus, or waits behind long attempts: one more message does no harm.
update rollouts set state = 'planned', changed_at = now()
where state = 'ready' and changed_at < now() - %(seconds)s * interval '1 second'
returning rollout_id;

-- name: overdue_closed
-- Closed and counted, and yet not at the end of the road.
select r.rollout_id, a.attempt from rollouts r join attempts a on a.rollout_id = r.rollout_id and a.counted
where r.state = 'closed' and r.changed_at < now() - %(seconds)s * interval '1 second'
order by r.changed_at limit 100;

-- name: touch
update rollouts set changed_at = now() where rollout_id = %(rollout_id)s;
