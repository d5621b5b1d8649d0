-- Who changed what by an HTTP API, and what was refused for a role. Rows are only ever added.
create table api_calls (
    id        bigint generated always as identity primary key,
    called_at timestamptz not null default now(),
    caller    text not null,
    role      text not null,
    method    text not null,
    path      text not null,
    status    int not null
);
