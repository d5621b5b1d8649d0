-- name: claim_closing
-- The attempt that was closed first and that nobody works on. The lock is the session's, and ends with the process.
-- Attempts whose rows are locked are passed over: steps of theirs are just being written.
with candidates as materialized (
    select rollout_id, attempt from attempts
    where state = 'closing' and (rollout_id, attempt) not in
          (select * from unnest(%(rollouts)s::uuid[], %(attempts)s::int[]))
    order by closed_at
    limit 32
    for update skip locked
)
select rollout_id, attempt from candidates
where pg_try_advisory_lock(hashtextextended(format('catalogue.closing %%s/%%s', rollout_id, attempt), 0))
limit 1;

-- name: closing_attempt
select submission_id, created_at, started, closed, trace, extract(epoch from now() - closed_at)::float8 as waited
from attempts
where rollout_id = %(rollout_id)s and attempt = %(attempt)s and state = 'closing';

-- name: lock_closing
select 1 from attempts
where rollout_id = %(rollout_id)s and attempt = %(attempt)s and state = 'closing'
for update skip locked;

-- name: digests_of
select index, digest from steps
where attempt_at = %(attempt_at)s and rollout_id = %(rollout_id)s and attempt = %(attempt)s;

-- name: steps_between
select index, body from steps
where attempt_at = %(attempt_at)s and rollout_id = %(rollout_id)s and attempt = %(attempt)s
  and index >= %(start)s and index < %(stop)s;

-- name: attempt_stored
update attempts set state = 'stored', stored_at = now() where rollout_id = %(rollout_id)s and attempt = %(attempt)s;

-- name: journals_to_clear
-- Of these attempts those whose journal nobody needs any more: the rollout's last attempt is stored as well, or no other
-- attempt came for a long time.
select a.rollout_id, a.attempt from attempts a
where a.state = 'stored' and a.stored_at < now() - %(seconds)s * interval '1 second'
  and (a.rollout_id, a.attempt) in (select * from unnest(%(rollouts)s::uuid[], %(attempts)s::int[]))
  and (a.stored_at < now() - %(kept)s * interval '1 second'
       or exists (select 1 from attempts b where b.rollout_id = a.rollout_id and b.last and b.state = 'stored'));

-- name: attempts_over
-- All stored attempts of a rollout, once its last one is among them.
select a.attempt from attempts a
where a.rollout_id = %(rollout_id)s and a.state = 'stored'
  and exists (select 1 from attempts b where b.rollout_id = a.rollout_id and b.last and b.state = 'stored');

-- name: digest_of_step
select digest from steps where rollout_id = %(rollout_id)s and attempt = %(attempt)s and index = %(index)s;
