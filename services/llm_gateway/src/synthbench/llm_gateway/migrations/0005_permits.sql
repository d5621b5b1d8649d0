-- Permits of limits that replicas hold. They are worth nothing after a minute: no need to keep them over a crash.
create unlogged table permits (
    id         uuid primary key,
    scope      text not null,
    amount     bigint not null,
    expires_at timestamptz not null
);
create index permits_of_scope on permits (scope, expires_at);
