-- include: outbox
create table submissions (
    submission_id uuid primary key,
    campaign      text not null,
    body          text not null,
    accepted_at   timestamptz not null default now()
);

create table attempts (
    rollout_id    uuid not null,
    attempt       int not null,
    submission_id uuid not null,
    campaign      text not null,
    state         text not null default 'open' check (state in ('open', 'closing', 'stored')),
    started       text, -- attempt.started
    finished      text, -- attempt.finished, also one that came too late to count
    closed        text, -- attempt.closed
    trace         jsonb not null default '{}', -- W3C trace context of attempt.closed
    closed_at     timestamptz,
    stored_at     timestamptz,
    primary key (rollout_id, attempt)
);
create index attempts_closing on attempts (closed_at) where state = 'closing';
create index attempts_of_submission on attempts (submission_id);

create table steps (
    rollout_id    uuid not null,
    attempt       int not null,
    index         int not null,
    submission_id uuid not null,
    digest        text not null,
    body          text not null, -- JSON as it came: jsonb would refuse \u0000 and reorder keys
    recorded_at   timestamptz not null default now(),
    primary key (rollout_id, attempt, index)
);

-- What contradicts what is there already, or itself: kept beside, never counted.
create table steps_aside (
    rollout_id  uuid not null,
    attempt     int not null,
    index       int not null,
    digest      text not null,
    reason      text not null,
    body        text not null,
    recorded_at timestamptz not null default now(),
    primary key (rollout_id, attempt, index, digest)
);

create table trajectories (
    trajectory_id uuid primary key,
    rollout_id    uuid not null,
    attempt       int not null,
    submission_id uuid not null,
    campaign      text not null,
    counted       boolean not null,
    task          text not null,
    category      text not null,
    difficulty    text not null,
    scaffold      text not null,
    route         text not null,
    model         text not null,
    outcome       text not null,
    reward        double precision not null,
    steps         int not null,
    seconds       double precision not null,
    input_tokens  bigint not null,
    output_tokens bigint not null,
    cost_microusd bigint not null,
    cost_known    boolean not null,
    simulated     boolean not null,
    forgeable     boolean not null,
    incomplete    text,
    detail        text not null,
    artifact      jsonb not null,
    verdict       text,
    aggregate     double precision,
    policy        text,
    scores        jsonb not null default '[]',
    curation      text,
    duplicate_of  uuid,
    similarity    double precision,
    stored_at     timestamptz not null default now(),
    unique (rollout_id, attempt)
);
create unique index trajectories_one_counted on trajectories (rollout_id) where counted;
create index trajectories_by_time on trajectories (stored_at desc, trajectory_id);
create index trajectories_of_submission on trajectories (submission_id);

-- Verdicts may come before the trajectory's row is seen by this replica; they wait here.
create table verdicts (
    trajectory_id uuid not null,
    kind          text not null check (kind in ('scored', 'curated')),
    body          text not null,
    received_at   timestamptz not null default now(),
    primary key (trajectory_id, kind)
);

create table llm_calls (
    call_id       uuid primary key,
    rollout_id    uuid not null,
    attempt       int not null,
    submission_id uuid not null,
    campaign      text not null,
    route         text not null,
    provider      text not null,
    model         text not null,
    outcome       text not null,
    status        int not null,
    input_tokens  bigint not null,
    output_tokens bigint not null,
    cost_microusd bigint not null,
    cost_known    boolean not null,
    latency       double precision not null,
    started_at    timestamptz not null
);
create index llm_calls_of_attempt on llm_calls (rollout_id, attempt);
