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

-- name: changes_are_archived
set local synthbench.rebuilding = on;
