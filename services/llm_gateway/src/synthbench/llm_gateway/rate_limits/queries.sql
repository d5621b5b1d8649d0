-- name: lock_limits
select pg_advisory_xact_lock(hashtextextended(scope, 0)) from unnest(%(scopes)s::text[]) as scope;

-- name: permits_held
select scope, sum(amount)::bigint as amount,
       extract(epoch from min(expires_at) - clock_timestamp())::float8 as seconds
from permits where scope = any(%(scopes)s) and expires_at > clock_timestamp() group by scope;

-- name: put_permits
insert into permits (id, scope, amount, expires_at)
select id, scope, amount, clock_timestamp() + make_interval(secs => seconds)
from unnest(%(ids)s::uuid[], %(scopes)s::text[], %(amounts)s::bigint[], %(seconds)s::float8[])
    as g(id, scope, amount, seconds)
on conflict (id) do update set amount = excluded.amount, expires_at = excluded.expires_at;

-- name: correct_permits
update permits p set amount = p.amount - g.amount
from unnest(%(ids)s::uuid[], %(amounts)s::bigint[]) as g(id, amount) where p.id = g.id;

-- name: drop_permits
delete from permits where id in (select id from permits where expires_at < now() for update skip locked);
