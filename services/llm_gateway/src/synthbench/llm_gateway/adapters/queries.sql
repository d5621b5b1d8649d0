-- name: see_attempt
insert into attempts (rollout_id, attempt) values (%(rollout_id)s, %(attempt)s)
on conflict (rollout_id) do update set
    closed = case when excluded.attempt > attempts.attempt then false else attempts.closed end,
    attempt = greatest(attempts.attempt, excluded.attempt)
returning attempt, closed;

-- name: close_attempt
insert into attempts (rollout_id, attempt, closed) values (%(rollout_id)s, %(attempt)s, true)
on conflict (rollout_id) do update set attempt = excluded.attempt, closed = true
where attempts.attempt <= excluded.attempt;

-- name: open_spend
insert into spend (scope) values (%(scope)s) on conflict do nothing;

-- name: lock_spend
select scope, cost_microusd from spend where scope = any(%(scopes)s) order by scope for update;

-- name: reserved
select
    coalesce(sum(cost_microusd) filter (where submission = %(submission)s), 0)::bigint as submission,
    coalesce(sum(cost_microusd) filter (where attempt = %(attempt)s), 0)::bigint as attempt
from reservations
where (submission = %(submission)s or attempt = %(attempt)s) and expires_at > now();

-- name: reserve
insert into reservations (call_id, submission, attempt, cost_microusd, expires_at)
values (%(call_id)s, %(submission)s, %(attempt)s, %(cost)s, now() + make_interval(secs => %(seconds)s));

-- name: release
delete from reservations where call_id = %(call_id)s;

-- name: add_spend
insert into spend (scope, cost_microusd) values (%(scope)s, %(cost)s)
on conflict (scope) do update set cost_microusd = spend.cost_microusd + excluded.cost_microusd;

-- name: insert_call
insert into calls (call_id, submission_id, campaign, rollout_id, attempt, route, provider, model, outcome, status,
    usage, cost_microusd, cost_known, latency, started_at)
values (%(call_id)s, %(submission_id)s, %(campaign)s, %(rollout_id)s, %(attempt)s, %(route)s, %(provider)s, %(model)s,
    %(outcome)s, %(status)s, %(usage)s, %(cost_microusd)s, %(cost_known)s, %(latency)s, %(started_at)s);
