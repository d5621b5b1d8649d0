-- include: outbox
create table curations (
    trajectory_id uuid not null,
    policy        text not null,
    seq           bigint generated always as identity,
    class         text not null,
    task          text not null,
    exact         text not null,
    signature     bytea not null,
    status        text not null check (status in ('admitted', 'duplicate', 'capped')),
    duplicate_of  uuid,
    similarity    double precision,
    created_at    timestamptz not null default now(),
    primary key (trajectory_id, policy)
);
create index curations_of_task on curations (class, policy, task) where status = 'admitted';

-- LSH: texts that share a key in a band are compared. Only admitted ones are in it.
create table bands (
    class         text not null,
    policy        text not null,
    band          int not null,
    key           bytea not null,
    trajectory_id uuid not null,
    primary key (class, policy, band, key, trajectory_id)
);
