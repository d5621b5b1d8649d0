-- include: outbox
create table scorings (
    trajectory_id uuid primary key,
    body          jsonb not null,
    state         text not null default 'waiting' check (state in ('waiting', 'scored')),
    tries         int not null default 1,
    scored        jsonb,
    created_at    timestamptz not null default now(),
    scored_at     timestamptz
);
create index scorings_waiting on scorings (created_at) where state = 'waiting';

create table verifications (
    verification_id uuid primary key,
    trajectory_id   uuid not null references scorings,
    requested_at    timestamptz not null default now()
);
