-- name: insert_submission
insert into submissions (submission_id, campaign, body) values (%(submission_id)s, %(campaign)s, %(body)s)
on conflict do nothing;

-- name: upsert_started
insert into attempts (rollout_id, attempt, submission_id, campaign, started)
values (%(rollout_id)s, %(attempt)s, %(submission_id)s, %(campaign)s, %(body)s)
on conflict (rollout_id, attempt) do update set started = coalesce(attempts.started, excluded.started);

-- name: upsert_finished
insert into attempts (rollout_id, attempt, submission_id, campaign, finished)
values (%(rollout_id)s, %(attempt)s, %(submission_id)s, %(campaign)s, %(body)s)
on conflict (rollout_id, attempt) do update set finished = coalesce(attempts.finished, excluded.finished);

-- name: upsert_closed
insert into attempts (rollout_id, attempt, submission_id, campaign, closed, trace, state, closed_at, last)
values (%(rollout_id)s, %(attempt)s, %(submission_id)s, %(campaign)s, %(body)s, %(trace)s, 'closing', now(), %(last)s)
on conflict (rollout_id, attempt) do update
set closed = excluded.closed, trace = excluded.trace, state = 'closing', closed_at = now(), last = excluded.last
where attempts.state = 'open';

-- name: insert_llm_call
insert into llm_calls (call_id, rollout_id, attempt, submission_id, campaign, route, provider, model, outcome, status,
    input_tokens, output_tokens, cost_microusd, cost_known, latency, started_at)
values (%(call_id)s, %(rollout_id)s, %(attempt)s, %(submission_id)s, %(campaign)s, %(route)s, %(provider)s, %(model)s,
    %(outcome)s, %(status)s, %(input_tokens)s, %(output_tokens)s, %(cost_microusd)s, %(cost_known)s, %(latency)s,
    %(started_at)s)
on conflict do nothing;

-- name: keep_verdict
insert into verdicts (trajectory_id, kind, body) values (%(trajectory_id)s, %(kind)s, %(body)s)
on conflict (trajectory_id, kind) do update set body = excluded.body, received_at = now();
