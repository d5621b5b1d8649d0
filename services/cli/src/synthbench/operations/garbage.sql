-- The garbage collection reads every schema, and writes nothing but a temporary table of its own.

-- name: lock
select pg_try_advisory_lock(%(lock)s) as taken;

-- name: create_named
create temporary table named (hex text primary key);

-- name: read_only
-- From here on the session can change no table of a service; its temporary table it can.
set default_transaction_read_only = on;

-- name: trajectories_without_names
select count(*) as unread from catalogue.trajectories t
where not exists (select 1 from catalogue.names n where n.trajectory_id = t.trajectory_id);

-- name: unknown_trajectories
select count(*) as unknown from unnest(%(trajectories)s::uuid[]) as s (trajectory_id)
where not exists (select 1 from catalogue.trajectories t where t.trajectory_id = s.trajectory_id);

-- name: tables
-- Each table of our schemas, with its columns of bytes.
select n.nspname as schema, c.relname as name,
       coalesce((select array_agg(a.attname::text) from pg_attribute a
                 where a.attrelid = c.oid and a.atttypid = 'bytea'::regtype and a.attnum > 0
                   and not a.attisdropped), '{}') as columns
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = any(%(schemas)s) and c.relkind in ('r', 'p') and not c.relispartition
order by 1, 2;

-- name: add_named_in_table
-- A template: a table, the texts of its rows, and which of its rows count.
insert into named
select m[1] from {table} t, regexp_matches(concat_ws(' ', {texts}), 'sha256[:/]([0-9a-f]{{64}})', 'g') m
where {rows} on conflict do nothing;

-- name: rows_of_unfinished_attempts
-- Of `catalogue.steps`.
exists (select 1 from catalogue.attempts a
        where a.rollout_id = t.rollout_id and a.attempt = t.attempt and a.state <> 'stored');

-- name: rows_that_did_not_expire
-- Of `catalogue.attempts`.
t.expired_at is null;

-- name: add_named
insert into named select unnest(%(hexes)s::text[]) on conflict do nothing;

-- name: unnamed
select u.uri from unnest(%(uris)s::text[]) as u (uri)
where not exists (select 1 from catalogue.names n where n.uri = u.uri)
  and not exists (select 1 from named m where m.hex = right(u.uri, 64));
