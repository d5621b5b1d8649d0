-- include: outbox
create table calls (
    call_id       uuid primary key,
    submission_id uuid not null,
    campaign      text not null,
    rollout_id    uuid not null,
    attempt       int not null,
    route         text not null,
    provider      text not null,
    model         text not null,
    outcome       text not null,
    status        int not null,
    usage         jsonb not null,
    cost_microusd bigint not null check (cost_microusd >= 0),
    cost_known    boolean not null,
    latency       double precision not null,
    started_at    timestamptz not null
);
create index calls_of_attempt on calls (rollout_id, attempt);
create index calls_of_submission on calls (submission_id);

-- What was spent, by submission and by attempt (`<rollout>/<attempt>`); also the row that a reservation locks.
create table spend (
    scope         text primary key,
    cost_microusd bigint not null default 0
);

-- Money that calls on their way may still cost. One whose gateway died runs out.
create table reservations (
    call_id       uuid primary key,
    submission    text not null,
    attempt       text not null,
    cost_microusd bigint not null,
    expires_at    timestamptz not null
);
create index reservations_of_submission on reservations (submission);
create index reservations_of_attempt on reservations (attempt);

-- The newest attempt that was seen of each rollout, and whether it is closed: older keys are worth nothing.
create table attempts (
    rollout_id uuid primary key,
    attempt    int not null,
    closed     boolean not null default false
);
