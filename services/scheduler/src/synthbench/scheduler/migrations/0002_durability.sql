-- An executor that drains gives its attempt back: tried again at once, and not counted as a failure.
alter table attempts add column released boolean not null default false;

-- A task whose attempts only ever fail by our own doing (a sandbox that cannot be made, an executor that dies of it).
create table quarantine (
    task_digest text primary key,
    task_name   text not null,
    reason      text not null,
    since       timestamptz not null default now()
);
-- When somebody let it go: older failures do not count any more.
create table quarantine_released (
    task_digest text primary key,
    since       timestamptz not null default now()
);
create index rollouts_of_task on rollouts ((body->'task'->>'digest'));
create index rollouts_closed on rollouts (changed_at) where state = 'closed';
