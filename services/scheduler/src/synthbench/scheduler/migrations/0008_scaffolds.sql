-- The scaffolds that executors have announced.
create table scaffolds (
    name text primary key,
    resumable boolean not null,
    announced_at timestamptz not null default now()
);
