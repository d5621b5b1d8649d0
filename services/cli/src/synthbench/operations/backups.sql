-- A backup reads whole tables; a restore writes whole tables into an empty stack that no service uses.

-- name: tables
-- Each table with its columns, its partitions, and the tables that its foreign keys refer to.
select n.nspname as schema, c.relname as name,
       array(select a.attname::text from pg_attribute a
             where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
             order by a.attnum) as columns,
       array(select array[p.relname::text, pg_get_expr(p.relpartbound, p.oid)]
             from pg_inherits i join pg_class p on p.oid = i.inhrelid where i.inhparent = c.oid) as partitions,
       array(select f.relname::text from pg_constraint k join pg_class f on f.oid = k.confrelid
             where k.conrelid = c.oid and k.contype = 'f' and f.oid <> c.oid) as refers_to
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = any(%(schemas)s) and c.relkind in ('r', 'p') and not c.relispartition
  and c.relname <> 'schema_migrations'
order by 1, 2;

-- name: sequences
select schemaname as schema, sequencename as name, last_value from pg_sequences
where schemaname = any(%(schemas)s) and last_value is not null order by 1, 2;

-- name: connected_services
select application_name as name from pg_stat_activity
where datname = current_database() and application_name like 'synth-bench %%' limit 1;

-- name: share_lock
select pg_advisory_lock_shared(%(lock)s);

-- name: one_moment
set transaction isolation level repeatable read, read only;

-- name: keep_triggers_quiet
-- The triggers of the catalogue that announce changes pass over what is restored.
set local synthbench.rebuilding = on;

-- name: any_row
-- A template, as those below.
select 1 from {table} limit 1;

-- name: copy_out
copy (select {columns} from {table}) to stdout;

-- name: copy_in
copy {table} ({columns}) from stdin;

-- name: empty_tables
truncate {tables};

-- name: make_partition
create table if not exists {partition} partition of {table} {bound};

-- name: set_sequence
select setval(%(name)s::regclass, %(value)s);
