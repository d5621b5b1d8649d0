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

-- name: insert_words
insert into trajectory_words (trajectory_id, words) values (%(trajectory_id)s, to_tsvector('simple', %(words)s))
on conflict do nothing;

-- name: insert_names
insert into names (trajectory_id, uri) select %(trajectory_id)s, unnest(%(uris)s::text[]) on conflict do nothing;

-- name: verdicts_of
select kind, body from verdicts where trajectory_id = %(trajectory_id)s;

-- name: apply_scored
update trajectories set verdict = %(verdict)s, aggregate = %(aggregate)s, policy = %(policy)s, scores = %(scores)s
where trajectory_id = %(trajectory_id)s;

-- name: apply_curated
update trajectories set curation = %(status)s, duplicate_of = %(duplicate_of)s, similarity = %(similarity)s
where trajectory_id = %(trajectory_id)s;

-- name: import_lock
-- Of two inserts of one trajectory at the same time the later may meet the unique (rollout_id, attempt) first, for which
-- no conflict is expected.
select pg_advisory_xact_lock(hashtextextended(%(trajectory_id)s::text, 0));
