-- name: insert_submission
insert into submissions (submission_id, campaign, body) values (%(submission_id)s, %(campaign)s, %(body)s)
on conflict do nothing;

-- name: insert_step
insert into steps (attempt_at, rollout_id, attempt, index, submission_id, digest, body)
values (%(attempt_at)s, %(rollout_id)s, %(attempt)s, %(index)s, %(submission_id)s, %(digest)s, %(body)s)
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

-- name: set_aside
insert into steps_aside (rollout_id, attempt, index, digest, reason, body)
values (%(rollout_id)s, %(attempt)s, %(index)s, %(digest)s, %(reason)s, %(body)s)
on conflict do nothing;

-- name: digests_of_steps
select s.rollout_id, s.attempt, s.index, s.digest
from steps s
join unnest(%(dates)s::timestamptz[], %(rollouts)s::uuid[], %(attempts)s::int[], %(indices)s::int[])
  as wanted (attempt_at, rollout_id, attempt, index)
  using (attempt_at, rollout_id, attempt, index);

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
select rollout_id, attempt, created_at, started, closed, trace, extract(epoch from now() - closed_at)::float8 as waited
from attempts
where state = 'closing' and (rollout_id, attempt) not in
      (select * from unnest(%(skip_rollouts)s::uuid[], %(skip_attempts)s::int[]))
order by closed_at
limit 1
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

-- name: import_lock
-- Of two inserts of one trajectory at the same time the later may meet the unique (rollout_id, attempt) first, for which
-- no conflict is expected.
select pg_advisory_xact_lock(hashtextextended(%(trajectory_id)s::text, 0));

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
where attempt_at = (select created_at from attempts where rollout_id = %(rollout_id)s and attempt = %(attempt)s)
  and rollout_id = %(rollout_id)s and attempt = %(attempt)s and index > %(after)s
order by index limit %(limit)s;

-- name: calls_of
select * from llm_calls where rollout_id = %(rollout_id)s and attempt = %(attempt)s order by started_at;

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

-- name: insert_names
insert into names (trajectory_id, uri) select %(trajectory_id)s, unnest(%(uris)s::text[]) on conflict do nothing;

-- name: changes_waiting
select count(*) as waiting from (select 1 from unarchived limit %(most)s) changes;

-- name: archive_lock
select pg_try_advisory_xact_lock(hashtext('catalogue.archive')) as mine;

-- name: take_changes
delete from unarchived where seq in (select seq from unarchived order by seq limit %(most)s)
returning seq, tbl, gone, body;

-- name: next_segment
select nextval('archive_segments') as number;

-- name: segments_from
select setval('archive_segments', greatest(%(number)s, (select last_value from archive_segments)));

-- name: unread
-- Newest first, trajectories of whose content the tables do not know the words, or what it names, from a place on.
select t.trajectory_id, t.rollout_id, t.attempt, t.submission_id, t.artifact, t.stored_at,
       coalesce(a.created_at, t.stored_at) as attempt_at,
       t.imported is null and a.created_at > now() - %(days)s * interval '1 day' as hot
from trajectories t left join attempts a using (rollout_id, attempt)
where (t.stored_at, t.trajectory_id) < (%(stored_at)s, %(trajectory_id)s)
  and not (exists (select 1 from trajectory_words w where w.trajectory_id = t.trajectory_id)
           and exists (select 1 from names n where n.trajectory_id = t.trajectory_id))
order by t.stored_at desc, t.trajectory_id desc
limit %(limit)s;

-- name: insert_dated_words
insert into trajectory_words (trajectory_id, stored_at, words)
values (%(trajectory_id)s, %(stored_at)s, to_tsvector('simple', %(words)s))
on conflict do nothing;

-- name: columns_of
select attname as name from pg_attribute where attrelid = to_regclass(%(table)s) and attnum > 0 and not attisdropped;

-- name: make_partition
select make_partition(%(parent)s, %(moment)s);

-- name: make_partitions
select make_partition(parent, now() + weeks * interval '7 days')
from unnest(array['steps', 'llm_calls']) as parent, generate_series(0, 4) as weeks;

-- name: keeping_lock
select pg_try_advisory_xact_lock(hashtext('catalogue.keeping')) as mine;

-- name: partitions
-- Of steps: each week with its bounds (none of the default one), and how many attempts of it are not stored yet.
select c.relname as name, pg_total_relation_size(c.oid) as bytes, greatest(c.reltuples, 0)::bigint as rows, b.begins, b.ends,
       (select count(*) from attempts a
        where a.state <> 'stored' and a.created_at >= b.begins and a.created_at < b.ends) as unfinished
from pg_inherits i
join pg_class c on c.oid = i.inhrelid
cross join lateral (
    select (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([^'']+)''\)'))[1]::timestamptz as begins,
           (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''([^'']+)''\)'))[1]::timestamptz as ends
) b
where i.inhparent = to_regclass('steps')
order by b.begins nulls first;

-- name: cool_the_rest
-- What lies in no week's partition.
delete from steps_default s
where s.attempt_at < now() - %(days)s * interval '1 day'
  and exists (select 1 from attempts a
              where a.rollout_id = s.rollout_id and a.attempt = s.attempt and a.state = 'stored');

-- name: expirable
-- Trajectories that do not count, older than the policy has it; nobody holds them, and nothing branches off them.
select t.trajectory_id, t.rollout_id, t.attempt, a.created_at as attempt_at from trajectories t
join attempts a using (rollout_id, attempt)
where not t.counted and t.imported is null and t.stored_at < now() - %(days)s * interval '1 day'
  and not exists (select 1 from held h where h.trajectory_id = t.trajectory_id)
  and not exists (select 1 from trajectories f where f.forked_from = t.trajectory_id)
order by t.stored_at
limit %(limit)s;

-- name: expire_steps
delete from steps where attempt_at = %(attempt_at)s and rollout_id = %(rollout_id)s and attempt = %(attempt)s;

-- name: expire_verdicts
delete from verdicts where trajectory_id = any(%(trajectory_ids)s);

-- name: expire_words
delete from trajectory_words where trajectory_id = any(%(trajectory_ids)s);

-- name: expire_names
delete from names where trajectory_id = any(%(trajectory_ids)s);

-- name: expire_trajectories
delete from trajectories where trajectory_id = any(%(trajectory_ids)s);

-- name: attempt_expired
update attempts set expired_at = now() where rollout_id = %(rollout_id)s and attempt = %(attempt)s;

-- name: tables
select c.relname as name, sum(pg_total_relation_size(c.oid))::bigint as bytes, sum(greatest(c.reltuples, 0))::bigint as rows
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = current_schema() and c.relkind = 'r' and not c.relispartition
group by c.relname
union all
select p.relname, sum(pg_total_relation_size(c.oid))::bigint, sum(greatest(c.reltuples, 0))::bigint
from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent
join pg_namespace n on n.oid = p.relnamespace
where n.nspname = current_schema() and p.relkind = 'p'
group by p.relname
order by bytes desc;

-- name: stored_bytes
select coalesce(counted, false) as counted, imported is not null as imported, count(*) as trajectories,
       coalesce(sum((artifact ->> 'size')::bigint), 0)::bigint as bytes
from trajectories group by 1, 2 order by 1 desc, 2;

-- name: count_expirable
select count(*) as count, coalesce(sum((t.artifact ->> 'size')::bigint), 0)::bigint as bytes from trajectories t
where not t.counted and t.imported is null and t.stored_at < now() - %(days)s * interval '1 day'
  and not exists (select 1 from held h where h.trajectory_id = t.trajectory_id)
  and not exists (select 1 from trajectories f where f.forked_from = t.trajectory_id);

-- name: hold
insert into held (trajectory_id, holder) values (%(trajectory_id)s, %(holder)s) on conflict do nothing;

-- name: release
delete from held where trajectory_id = %(trajectory_id)s and holder = %(holder)s;

-- name: list_tasks
-- From one name to the next by the index; of each task its newest trajectory.
with recursive found as (
    (select task, category, difficulty, stored_at from trajectories where task > %(after)s
     order by task, stored_at desc, trajectory_id desc limit 1)
    union all
    select following.* from found cross join lateral (
        select task, category, difficulty, stored_at from trajectories where task > found.task
        order by task, stored_at desc, trajectory_id desc limit 1) following
)
select task, category, difficulty, stored_at as last_stored_at from found limit %(limit)s;

-- name: trajectory_of
-- The stored trajectory of an attempt, where it has steps behind an index.
select trajectory_id, artifact from trajectories
where rollout_id = %(rollout_id)s and attempt = %(attempt)s and steps > %(after)s + 1;
