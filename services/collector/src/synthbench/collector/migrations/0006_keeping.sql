-- include: api_calls
-- What grows lies in a partition for each week, so that what is old can go at once.
-- An attempt is dated when it is first heard of, and its steps with it: a step that comes again meets itself.
alter table attempts add column created_at timestamptz not null default now();
alter table attempts add column expired_at timestamptz; -- its trajectory went, as the policy says

create index attempts_by_time on attempts (created_at desc, rollout_id desc, attempt desc);
create index attempts_unfinished on attempts (state, created_at desc, rollout_id desc, attempt desc)
    where state <> 'stored';
drop index attempts_of_submission;
create index attempts_of_submission on attempts (submission_id, created_at desc, rollout_id desc, attempt desc);

alter table steps rename to steps_before;
create table steps (
    attempt_at    timestamptz not null, -- created_at of its attempt
    rollout_id    uuid not null,
    attempt       int not null,
    index         int not null,
    submission_id uuid not null,
    digest        text not null,
    body          text not null, -- JSON as it came: jsonb would refuse \u0000 and reorder keys
    recorded_at   timestamptz not null default now(),
    constraint steps_key primary key (rollout_id, attempt, index, attempt_at)
) partition by range (attempt_at);
create table steps_default partition of steps default;

alter table llm_calls rename to llm_calls_before;
create table llm_calls (like llm_calls_before including defaults) partition by range (started_at);
alter table llm_calls add constraint llm_calls_key primary key (call_id, started_at);
create table llm_calls_default partition of llm_calls default;
create index llm_calls_by_attempt on llm_calls (rollout_id, attempt);

-- The week's partition of `steps` or `llm_calls`; what waits for it in the default one moves over.
create function make_partition(parent text, moment timestamptz) returns void
language plpgsql set search_path from current as $$
declare
    monday timestamp := date_trunc('week', moment at time zone 'UTC');
    begins timestamptz := monday at time zone 'UTC';
    ends   timestamptz := (monday + interval '7 days') at time zone 'UTC';
    named  text := format('%s_%s', parent, to_char(monday, 'YYYYMMDD'));
    dated  text := case parent when 'steps' then 'attempt_at' else 'started_at' end;
begin
    if to_regclass(named) is not null then
        return;
    end if;
    perform pg_advisory_xact_lock(hashtext('catalogue.partitions'));
    if to_regclass(named) is not null then
        return;
    end if;
    execute format('create table %I (like %I including defaults)', named, parent);
    execute format('with moved as (delete from %I where %I >= $1 and %I < $2 returning *) insert into %I select * from moved',
                   parent || '_default', dated, dated, named) using begins, ends;
    execute format('alter table %I attach partition %I for values from (%L) to (%L)', parent, named, begins, ends);
end $$;

select make_partition(parent, now() + weeks * interval '7 days')
from unnest(array['steps', 'llm_calls']) as parent, generate_series(0, 4) as weeks;

insert into steps (attempt_at, rollout_id, attempt, index, submission_id, digest, body, recorded_at)
select coalesce(a.created_at, s.recorded_at), s.rollout_id, s.attempt, s.index, s.submission_id, s.digest, s.body, s.recorded_at
from steps_before s left join attempts a using (rollout_id, attempt);
drop table steps_before;
insert into llm_calls select * from llm_calls_before;
drop table llm_calls_before;

-- Which artifacts a trajectory names: what is named is never collected.
create table names (
    trajectory_id uuid not null,
    uri           text not null,
    primary key (trajectory_id, uri)
);
create index names_by_uri on names (uri);

-- Trajectories that somebody holds (a dataset, a person): no policy takes them.
create table held (
    trajectory_id uuid not null,
    holder        text not null,
    held_at       timestamptz not null default now(),
    primary key (trajectory_id, holder)
);

-- The catalogue's own record in the artifact store: each change of these tables waits here until it is written there.
create table unarchived (
    seq  bigint generated always as identity primary key,
    tbl  text not null,
    gone boolean not null,
    body text not null
);
create sequence archive_segments;

create function archive_changes() returns trigger language plpgsql set search_path from current as $$
begin
    insert into unarchived (tbl, gone, body) select tg_table_name, tg_op = 'DELETE', to_jsonb(changed)::text from changed;
    return null;
end $$;

do $$
declare
    parent text;
begin
    foreach parent in array array['submissions', 'attempts', 'steps_aside', 'trajectories', 'verdicts', 'llm_calls', 'held'] loop
        execute format('create trigger archive_inserts after insert on %I referencing new table as changed '
            'for each statement when (current_setting(''synthbench.rebuilding'', true) is distinct from ''on'') '
            'execute function archive_changes()', parent);
        execute format('create trigger archive_updates after update on %I referencing new table as changed '
            'for each statement when (current_setting(''synthbench.rebuilding'', true) is distinct from ''on'') '
            'execute function archive_changes()', parent);
        execute format('create trigger archive_deletes after delete on %I referencing old table as changed '
            'for each statement when (current_setting(''synthbench.rebuilding'', true) is distinct from ''on'') '
            'execute function archive_changes()', parent);
        execute format('insert into unarchived (tbl, gone, body) select %L, false, to_jsonb(t)::text from %I t', parent, parent);
    end loop;
end $$;
