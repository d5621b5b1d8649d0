-- The rows that the auditor compares with artifacts, bus and machine.

-- name: announced_calls
-- Model calls that the ledger announced and that are not on the bus yet.
select count(*) as waiting from ledger.outbox where published_at is null and subject = 'llm.called';

-- name: billed_calls
select call_id, rollout_id, attempt from ledger.calls;

-- name: stored_trajectories
select trajectory_id, rollout_id, attempt, steps, artifact->>'uri' as uri from catalogue.trajectories;

-- name: ended_rollouts
select rollout_id::text as rollout from catalogue.attempts where last and state = 'stored';

-- name: stored_attempts
select rollout_id::text || '/' || attempt as attempt from catalogue.attempts where state = 'stored';

-- name: open_attempts
select rollout_id::text || '.' || attempt as owner from scheduler.attempts where closed_at is null;

-- name: unfinished_rollouts
select r.rollout_id, r.submission_id, r.state from scheduler.rollouts r
where (r.rollout_id = any(%(rollouts)s) or r.submission_id = any(%(submissions)s))
  and r.state not in ('curated', 'failed', 'cancelled');

-- name: known_submissions
select submission_id from scheduler.submissions where submission_id = any(%(submissions)s);
