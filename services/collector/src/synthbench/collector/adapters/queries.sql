-- name: insert_submission
insert into submissions (submission_id, campaign, body) values (%(submission_id)s, %(campaign)s, %(body)s)
on conflict do nothing;

-- name: insert_step
insert into steps (rollout_id, attempt, index, submission_id, digest, body)
values (%(rollout_id)s, %(attempt)s, %(index)s, %(submission_id)s, %(digest)s, %(body)s)
on conflict do nothing;

-- name: make_incoming
create temporary table if not exists incoming (
    rollout_id uuid, attempt int, index int, submission_id uuid, digest text, body text
) on commit delete rows;

-- name: copy_incoming
copy incoming from stdin;

-- name: take_incoming
insert into steps (rollout_id, attempt, index, submission_id, digest, body)
select rollout_id, attempt, index, submission_id, digest, body from incoming
on conflict do nothing;

-- name: set_aside
insert into steps_aside (rollout_id, attempt, index, digest, reason, body)
values (%(rollout_id)s, %(attempt)s, %(index)s, %(digest)s, %(reason)s, %(body)s)
on conflict do nothing;

-- name: digests_of_steps
select s.rollout_id, s.attempt, s.index, s.digest
from steps s
join unnest(%(rollouts)s::uuid[], %(attempts)s::int[], %(indices)s::int[]) as wanted (rollout_id, attempt, index)
  using (rollout_id, attempt, index);

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

-- name: take_closing
select rollout_id, attempt, started, closed, trace, extract(epoch from now() - closed_at)::float8 as waited
from attempts
where state = 'closing' and (rollout_id, attempt) not in
      (select * from unnest(%(skip_rollouts)s::uuid[], %(skip_attempts)s::int[]))
order by closed_at
limit 1
for update skip locked;

-- name: digests_of
select index, digest from steps where rollout_id = %(rollout_id)s and attempt = %(attempt)s;

-- name: steps_between
select index, body from steps
where rollout_id = %(rollout_id)s and attempt = %(attempt)s and index >= %(start)s and index < %(stop)s;

-- name: attempt_stored
update attempts set state = 'stored', stored_at = now() where rollout_id = %(rollout_id)s and attempt = %(attempt)s;

-- name: insert_trajectory
insert into trajectories (trajectory_id, rollout_id, attempt, submission_id, campaign, counted, task, category,
    difficulty, scaffold, route, model, outcome, reward, steps, seconds, input_tokens, output_tokens, cost_microusd,
    cost_known, simulated, forgeable, incomplete, detail, artifact, forked_from, forked_step, resumed_from, imported,
    resolved)
values (%(trajectory_id)s, %(rollout_id)s, %(attempt)s, %(submission_id)s, %(campaign)s, %(counted)s, %(task)s,
    %(category)s, %(difficulty)s, %(scaffold)s, %(route)s, %(model)s, %(outcome)s, %(reward)s, %(steps)s, %(seconds)s,
    %(input_tokens)s, %(output_tokens)s, %(cost_microusd)s, %(cost_known)s, %(simulated)s, %(forgeable)s,
    %(incomplete)s, %(detail)s, %(artifact)s, %(forked_from)s, %(forked_step)s, %(resumed_from)s,
    %(imported)s, %(resolved)s)
on conflict (trajectory_id) do nothing
returning trajectory_id;

-- name: keep_verdict
insert into verdicts (trajectory_id, kind, body) values (%(trajectory_id)s, %(kind)s, %(body)s)
on conflict (trajectory_id, kind) do update set body = excluded.body, received_at = now();

-- name: verdicts_of
select kind, body from verdicts where trajectory_id = %(trajectory_id)s;

-- name: apply_scored
update trajectories set verdict = %(verdict)s, aggregate = %(aggregate)s, policy = %(policy)s, scores = %(scores)s
where trajectory_id = %(trajectory_id)s;

-- name: apply_curated
update trajectories set curation = %(status)s, duplicate_of = %(duplicate_of)s, similarity = %(similarity)s
where trajectory_id = %(trajectory_id)s;

-- name: insert_llm_call
insert into llm_calls (call_id, rollout_id, attempt, submission_id, campaign, route, provider, model, outcome, status,
    input_tokens, output_tokens, cost_microusd, cost_known, latency, started_at)
values (%(call_id)s, %(rollout_id)s, %(attempt)s, %(submission_id)s, %(campaign)s, %(route)s, %(provider)s, %(model)s,
    %(outcome)s, %(status)s, %(input_tokens)s, %(output_tokens)s, %(cost_microusd)s, %(cost_known)s, %(latency)s,
    %(started_at)s)
on conflict do nothing;

-- name: insert_words
insert into trajectory_words (trajectory_id, words) values (%(trajectory_id)s, to_tsvector('simple', %(words)s))
on conflict do nothing;

-- name: find_trajectory
select * from trajectories where trajectory_id = %(trajectory_id)s;

-- name: funnel
select * from funnel where %(campaign)s::text is null or campaign = %(campaign)s order by campaign;

-- name: yield_by_day
select day, sum(stored)::int as stored, sum(solved)::int as solved, sum(accepted)::int as accepted,
       sum(admitted)::int as admitted, sum(tokens)::bigint as tokens, sum(cost_microusd)::bigint as cost_microusd
from yield_by_day where %(campaign)s::text is null or campaign = %(campaign)s group by day order by day;

-- name: steps_after
select index, body from steps
where rollout_id = %(rollout_id)s and attempt = %(attempt)s and index > %(after)s
order by index limit %(limit)s;

-- name: calls_of
select * from llm_calls where rollout_id = %(rollout_id)s and attempt = %(attempt)s order by started_at;

-- name: lock_attempts
-- While these rows are shared, no attempt of them is finalised.
select a.rollout_id, a.attempt, a.state from attempts a
join (select distinct * from unnest(%(rollouts)s::uuid[], %(attempts)s::int[]) as w (rollout_id, attempt)) wanted
  using (rollout_id, attempt)
order by a.rollout_id, a.attempt
for share of a;

-- name: insert_attempt
-- Of one that nobody announced so far.
insert into attempts (rollout_id, attempt, submission_id, campaign)
values (%(rollout_id)s, %(attempt)s, %(submission_id)s, %(campaign)s)
on conflict do nothing;

-- name: stored_long_ago
-- Of these attempts those whose journal is for nobody any more: the last of the rollout is stored, too, or nobody came.
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
