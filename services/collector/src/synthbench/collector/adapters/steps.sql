-- name: lock_attempts
-- While these rows are shared, no attempt of them is finalised.
select a.rollout_id, a.attempt, a.state, a.created_at from attempts a
join (select distinct * from unnest(%(rollouts)s::uuid[], %(attempts)s::int[]) as w (rollout_id, attempt)) wanted
  using (rollout_id, attempt)
order by a.rollout_id, a.attempt
for share of a;

-- name: insert_attempts
-- Those that nobody announced so far, in the order in which everybody takes them.
insert into attempts (rollout_id, attempt, submission_id, campaign)
select *
from unnest(%(rollouts)s::uuid[], %(attempts)s::int[], %(submissions)s::uuid[], %(campaigns)s::text[])
  as made (rollout_id, attempt, submission_id, campaign)
order by rollout_id, attempt
on conflict do nothing;

-- name: make_incoming
create temporary table if not exists incoming (
    attempt_at timestamptz, rollout_id uuid, attempt int, index int, submission_id uuid, digest text, body text
) on commit delete rows;

-- name: copy_incoming
copy incoming from stdin;

-- name: take_incoming
insert into steps (attempt_at, rollout_id, attempt, index, submission_id, digest, body)
select attempt_at, rollout_id, attempt, index, submission_id, digest, body from incoming
on conflict do nothing;

-- name: digests_of_steps
select s.rollout_id, s.attempt, s.index, s.digest
from steps s
join unnest(%(dates)s::timestamptz[], %(rollouts)s::uuid[], %(attempts)s::int[], %(indices)s::int[])
  as wanted (attempt_at, rollout_id, attempt, index)
  using (attempt_at, rollout_id, attempt, index);

-- name: insert_step
insert into steps (attempt_at, rollout_id, attempt, index, submission_id, digest, body)
values (%(attempt_at)s, %(rollout_id)s, %(attempt)s, %(index)s, %(submission_id)s, %(digest)s, %(body)s)
on conflict do nothing;

-- name: set_aside
insert into steps_aside (rollout_id, attempt, index, digest, reason, body)
values (%(rollout_id)s, %(attempt)s, %(index)s, %(digest)s, %(reason)s, %(body)s)
on conflict do nothing;
