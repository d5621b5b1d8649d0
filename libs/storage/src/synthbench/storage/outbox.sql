-- The outbox of a service: events that go out with the state they announce. The relay of the chassis empties it.
create table outbox (
    id           uuid primary key,
    seq          bigint generated always as identity,
    subject      text not null,
    stream       text not null,
    headers      jsonb not null,
    payload      bytea not null,
    created_at   timestamptz not null default now(),
    published_at timestamptz
);
create index outbox_unpublished on outbox (seq) where published_at is null;
create index outbox_published on outbox (published_at) where published_at is not null;
