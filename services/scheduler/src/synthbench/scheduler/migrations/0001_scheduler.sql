-- include: outbox
create table submissions (
    submission_id     uuid primary key,
    campaign          text not null,
    body              jsonb not null,
    task              jsonb,
    pool              text,
    state             text not null check (state in ('open', 'done', 'rejected', 'cancelled', 'failed')),
    errors            jsonb not null default '[]',
    max_cost_microusd bigint not null,
    created_at        timestamptz not null default now(),
    finished_at       timestamptz
);
create index submissions_by_time on submissions (created_at desc, submission_id);
create index submissions_open on submissions (campaign) where state = 'open';

create table rollouts (
    rollout_id    uuid primary key,
    submission_id uuid not null references submissions,
    campaign      text not null,
    body          jsonb not null,
    pool          text not null,
    priority      int not null, -- 0 high, 1 normal, 2 low
    state         text not null check (state in
        ('planned', 'ready', 'running', 'closed', 'curated', 'failed', 'cancelled')),
    attempts      int not null default 0,
    -- how often it was put on the ready queue: names the message, so that a repeated publish is the same one
    ready_count   int not null default 0,
    not_before    timestamptz not null default now(),
    created_at    timestamptz not null default now(),
    changed_at    timestamptz not null default now()
);
create index rollouts_of_submission on rollouts (submission_id);
create index rollouts_waiting on rollouts (pool, priority, created_at) where state = 'planned';
create index rollouts_ready on rollouts (pool) where state = 'ready';

create table attempts (
    rollout_id    uuid not null references rollouts,
    attempt       int not null,
    executor      text not null,
    lease_expires timestamptz not null,
    deadline      timestamptz not null,
    claimed_at    timestamptz not null default now(),
    started_at    timestamptz,
    steps         int not null default 0,
    closed_at     timestamptz,
    outcome       text,
    counted       boolean not null default false,
    reason        text not null default '',
    primary key (rollout_id, attempt)
);
-- One result of a rollout counts, whatever happens.
create unique index attempts_one_counted on attempts (rollout_id) where counted;
-- One attempt of a rollout lives, whatever happens.
create unique index attempts_one_open on attempts (rollout_id) where closed_at is null;
create index attempts_leases on attempts (lease_expires) where closed_at is null;
