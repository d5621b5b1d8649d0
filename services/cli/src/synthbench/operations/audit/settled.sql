-- What holds when nothing is under way any more.

-- name: every_rollout_has_come_to_an_end
select format('rollout %s of submission %s: %s', rollout_id, submission_id, state)
from scheduler.rollouts where state not in ('curated', 'failed', 'cancelled');

-- name: every_submission_has_come_to_an_end
select format('submission %s: %s', submission_id, state) from scheduler.submissions where state = 'open';

-- name: no_attempt_is_open
select format('rollout %s attempt %s on %s', rollout_id, attempt, executor) from scheduler.attempts where closed_at is null
union all
select format('rollout %s attempt %s: %s in the catalogue', rollout_id, attempt, state)
from catalogue.attempts where state <> 'stored';

-- name: every_outbox_is_empty
select format('%s: %s waits', 'scheduler', headers->>'ce-type') from scheduler.outbox where published_at is null
union all select format('%s: %s waits', 'catalogue', headers->>'ce-type') from catalogue.outbox where published_at is null
union all select format('%s: %s waits', 'ledger', headers->>'ce-type') from ledger.outbox where published_at is null
union all select format('%s: %s waits', 'quality', headers->>'ce-type') from quality.outbox where published_at is null
union all select format('%s: %s waits', 'diversity', headers->>'ce-type') from diversity.outbox where published_at is null;

-- name: no_money_is_set_aside
-- Idle slices go back within seconds; those of a dead gateway when another one buries it.
select format('%s: %s micro-dollars with %s', s.scope, s.microusd, r.name)
from ledger.slices s join ledger.replicas r using (replica) where s.microusd <> 0;
