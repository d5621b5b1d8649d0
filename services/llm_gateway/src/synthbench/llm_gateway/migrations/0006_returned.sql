-- What providers said beside their tool calls and want back with them: thought signatures, encrypted reasoning.
create table returned (
    rollout_id uuid not null,
    -- SHA-256 of the call's id, which is a text of others
    call       bytea not null,
    model      text not null,
    -- JSON, as bytes: Postgres' own types refuse some of what providers send
    fields     bytea not null,
    kept_at    timestamptz not null default now(),
    primary key (rollout_id, call)
);
create index returned_by_age on returned (kept_at);
