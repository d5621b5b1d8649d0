-- Every budget: of an attempt, a submission, a campaign, a day, a month (`<kind>/<name>`).
create table accounts (
    scope           text primary key,
    cap_microusd    bigint,
    epoch           bigint not null default 0,
    -- written down in calls, and what is presumed of replicas that died
    spent_microusd  bigint not null default 0,
    -- the sum of all slices
    leased_microusd bigint not null default 0,
    -- the epoch of which budget.exhausted was said
    exhausted_epoch bigint
);
insert into accounts (scope, spent_microusd)
select case when scope like '%/%' then 'attempt/' else 'submission/' end || scope, cost_microusd from spend;
insert into accounts (scope, spent_microusd)
select 'campaign/' || campaign, sum(cost_microusd) from calls where cost_microusd > 0 group by campaign;
insert into accounts (scope, spent_microusd)
select 'day/' || to_char(started_at at time zone 'UTC', 'YYYY-MM-DD'), sum(cost_microusd)
from calls where cost_microusd > 0 group by 1;
insert into accounts (scope, spent_microusd)
select 'month/' || to_char(started_at at time zone 'UTC', 'YYYY-MM'), sum(cost_microusd)
from calls where cost_microusd > 0 group by 1;
drop table spend;
drop table reservations;

-- Gateways that hold slices. One that is silent past `expires_at` is taken for dead.
create table replicas (
    replica    uuid primary key,
    name       text not null,
    expires_at timestamptz not null
);

-- Money that a replica may spend without asking.
create table slices (
    replica  uuid not null references replicas,
    scope    text not null references accounts,
    microusd bigint not null,
    primary key (replica, scope)
);

-- What a dead replica held, taken as spent until its own late settlements, or its return, say better.
create table presumed (
    replica   uuid not null,
    scope     text not null references accounts,
    microusd  bigint not null,
    booked_at timestamptz not null default now(),
    primary key (replica, scope)
);

alter table calls
    add column request_id  uuid,
    add column try_number  int not null default 0,
    add column wire        text not null default '',
    add column first_token double precision,
    add column waited      double precision not null default 0,
    add column choice      text not null default '',
    add column category    text not null default '';
create index calls_by_time on calls (started_at);
create index calls_of_campaign on calls (campaign);
