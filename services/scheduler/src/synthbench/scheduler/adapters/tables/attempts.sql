-- name: insert
insert into attempts (rollout_id, attempt, executor, lease_expires, deadline)
values (%(rollout_id)s, %(attempt)s, %(executor)s, now() + %(lease)s * interval '1 second',
        now() + %(seconds)s * interval '1 second')
returning deadline;

-- name: renew
update attempts set lease_expires = now() + %(lease)s * interval '1 second'
where rollout_id = %(rollout_id)s and attempt = %(attempt)s
returning deadline;

-- name: heartbeat
update attempts a set lease_expires = now() + %(lease)s * interval '1 second', steps = greatest(a.steps, %(steps)s)
from rollouts r
where a.rollout_id = %(rollout_id)s and a.attempt = %(attempt)s and a.executor = %(executor)s
  and a.closed_at is null and a.lease_expires > now() and r.rollout_id = a.rollout_id
returning r.state;

-- name: given_back
select attempt from attempts where rollout_id = %(rollout_id)s and released order by attempt;

-- name: note_start
update attempts set started_at = coalesce(started_at, %(started_at)s)
where rollout_id = %(rollout_id)s and attempt = %(attempt)s and closed_at is null;

-- name: close
update attempts set closed_at = now(), outcome = %(outcome)s, counted = %(counted)s, reason = %(reason)s,
                    steps = greatest(steps, %(steps)s)
where rollout_id = %(rollout_id)s and attempt = %(attempt)s and closed_at is null
returning attempt;

-- name: expired
select a.rollout_id, a.attempt, a.executor, a.steps
from attempts a
where a.closed_at is null and a.lease_expires < now()
order by a.lease_expires
limit 50;

-- name: release
update attempts set released = true
where rollout_id = %(rollout_id)s and attempt = %(attempt)s and executor = %(executor)s and closed_at is null
returning attempt;

-- name: excuse
update attempts set released = true where rollout_id = %(rollout_id)s and attempt = %(attempt)s;

-- name: failures_of_rollout
select count(*)::int as failures from attempts
where rollout_id = %(rollout_id)s and closed_at is not null and outcome = 'infra_error' and not released;
