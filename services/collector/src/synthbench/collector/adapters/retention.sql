-- name: lock_retention
select pg_try_advisory_xact_lock(hashtext('catalogue.keeping')) as locked;

-- name: make_partitions
select make_partition(parent, now() + weeks * interval '7 days')
from unnest(array['steps', 'llm_calls']) as parent, generate_series(0, 4) as weeks;

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

-- name: delete_cold_steps
-- Of those that lie in no week's partition.
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

-- name: trajectory_exists
select 1 from trajectories where trajectory_id = %(trajectory_id)s;

-- name: hold
insert into held (trajectory_id, holder) values (%(trajectory_id)s, %(holder)s) on conflict do nothing;

-- name: release
delete from held where trajectory_id = %(trajectory_id)s and holder = %(holder)s;
