-- name: see_attempt
-- The newest attempt that was seen of a rollout is the fence; whoever raises it tells the other replicas.
with before as (select attempt from attempts where rollout_id = %(rollout_id)s),
seen as (
    insert into attempts (rollout_id, attempt) values (%(rollout_id)s, %(attempt)s)
    on conflict (rollout_id) do update set
        closed = case when excluded.attempt > attempts.attempt then false else attempts.closed end,
        attempt = greatest(attempts.attempt, excluded.attempt)
    returning attempt, closed)
select seen.attempt, seen.closed,
       case when before.attempt < seen.attempt
            then pg_notify('ledger_attempts', %(rollout_id)s || ' ' || (seen.attempt - 1)) end
from seen left join before on true;

-- name: close_attempt
with done as (
    insert into attempts (rollout_id, attempt, closed) values (%(rollout_id)s, %(attempt)s, true)
    on conflict (rollout_id) do update set attempt = excluded.attempt, closed = true
    where attempts.attempt <= excluded.attempt
    returning attempt)
select pg_notify('ledger_attempts', %(rollout_id)s || ' ' || attempt) from done;

-- name: join_replicas
insert into replicas (replica, name, expires_at) values (%(replica)s, %(name)s, now() + make_interval(secs => %(seconds)s));

-- name: beat
with beat as (
    update replicas set expires_at = now() + make_interval(secs => %(seconds)s) where replica = %(replica)s returning replica)
select (select count(*) from beat) as alive, (select count(*) from replicas where expires_at > now()) as replicas;

-- name: lock_replica
-- Before its accounts, as whoever leases does: the other order could deadlock with a lease on its way.
select replica from replicas where replica = %(replica)s for update;

-- name: hold_replica
select replica from replicas where replica = %(replica)s for share;

-- name: open_accounts
-- A campaign's cap is that of the greatest epoch; the calendar's is what the settings say now.
insert into accounts as a (scope, cap_microusd, epoch)
select scope, cap, epoch from unnest(%(scopes)s::text[], %(caps)s::bigint[], %(epochs)s::bigint[]) as g(scope, cap, epoch)
order by scope
on conflict (scope) do update set
    cap_microusd = excluded.cap_microusd,
    epoch = case when a.scope ~ '^(day|month)/' then a.epoch + 1 else excluded.epoch end
where excluded.epoch > a.epoch and a.scope !~ '^(day|month)/'
   or a.scope ~ '^(day|month)/' and a.cap_microusd is distinct from excluded.cap_microusd
   or a.scope ~ '^(attempt|submission)/' and a.cap_microusd is null;

-- name: lock_accounts
select scope, cap_microusd as cap, epoch, spent_microusd as spent, leased_microusd as leased,
       exhausted_epoch is not distinct from epoch and exhausted_at > now() - interval '1 minute' as announced
from accounts where scope = any(%(scopes)s) order by scope for update;

-- name: lease
with given as (select scope, amount from unnest(%(scopes)s::text[], %(amounts)s::bigint[]) as g(scope, amount)),
counted as (
    update accounts a set leased_microusd = a.leased_microusd + g.amount from given g where a.scope = g.scope)
insert into slices as s (replica, scope, microusd) select %(replica)s, scope, amount from given
on conflict (replica, scope) do update set microusd = s.microusd + excluded.microusd;

-- name: give_back
with locked as (select scope from accounts where scope = any(%(scopes)s) order by scope for update),
given as (select scope, amount from unnest(%(scopes)s::text[], %(amounts)s::bigint[]) as g(scope, amount)),
cut as (
    update slices s set microusd = s.microusd - g.amount from given g join locked using (scope)
    where s.replica = %(replica)s and s.scope = g.scope returning s.scope, g.amount)
update accounts a set leased_microusd = a.leased_microusd - cut.amount from cut where a.scope = cut.scope;

-- name: drop_empty_slices
delete from slices where replica = %(replica)s and microusd = 0;

-- name: recall
-- Every replica is notified, the one that asks included: it has to know its own.
select pg_notify('ledger_recall', %(replica)s::text || ' ' || scope) from unnest(%(scopes)s::text[]) as scope;

-- name: mark_announced
update accounts set exhausted_epoch = epoch, exhausted_at = now() where scope = %(scope)s;

-- name: silent_replicas
select replica, name from replicas where expires_at < now() for update skip locked;

-- name: lock_accounts_of_replica
select scope from accounts where scope in (select scope from slices where replica = %(replica)s) order by scope for update;

-- name: presume_spent
-- What it held is taken as spent; an attempt's own cap is about the agent, which is not at fault.
with gone as (delete from slices where replica = %(replica)s returning scope, microusd),
kept as (
    insert into presumed (replica, scope, microusd)
    select %(replica)s, scope, microusd from gone where scope not like 'attempt/%%' and microusd > 0)
update accounts a set
    leased_microusd = a.leased_microusd - gone.microusd,
    spent_microusd = a.spent_microusd
        + case when gone.scope not like 'attempt/%%' and gone.microusd > 0 then gone.microusd else 0 end
from gone where a.scope = gone.scope;

-- name: leave_replicas
delete from replicas where replica = %(replica)s;

-- name: lock_presumed
select scope from accounts where scope in (select scope from presumed where replica = %(replica)s) order by scope for update;

-- name: cancel_presumed
-- A replica that was fenced has settled all that it had on its way: the rest was never spent.
with gone as (delete from presumed where replica = %(replica)s returning scope, microusd)
update accounts a set spent_microusd = a.spent_microusd - gone.microusd from gone where a.scope = gone.scope;

-- name: written_already
select call_id from calls where call_id = any(%(ids)s);

-- name: write_calls
insert into calls (call_id, submission_id, campaign, rollout_id, attempt, route, provider, model, outcome, status,
    usage, cost_microusd, cost_known, latency, started_at, request_id, try_number, wire, first_token, waited, choice,
    category)
select (e->>'call_id')::uuid, (e->>'submission_id')::uuid, e->>'campaign', (e->>'rollout_id')::uuid,
    (e->>'attempt')::int, e->>'route', e->>'provider', e->>'model', e->>'outcome', (e->>'status')::int,
    e->'usage', (e->'usage'->>'cost_microusd')::bigint, (e->'usage'->>'cost_known')::boolean,
    (e->>'latency_seconds')::float8, (e->>'started_at')::timestamptz, (e->>'request_id')::uuid,
    (e->>'try_number')::int, e->>'wire', (e->>'first_token_seconds')::float8, (e->>'waited_seconds')::float8,
    e->>'choice', e->>'category'
from jsonb_array_elements(%(calls)s::jsonb) as e
on conflict (call_id) do nothing;

-- name: count_spend
-- Out of the slice and into what is spent, whose sum stays as it was. What a fenced replica settles late was presumed
-- before, and is presumed no more.
with given as (
    select e->>0 as scope, (e->>1)::uuid as replica, (e->>2)::bigint as cost
    from jsonb_array_elements(%(costs)s::jsonb) as e),
locked as (select scope from accounts where scope in (select scope from given) order by scope for update),
cut as (
    update slices s set microusd = s.microusd - g.cost from given g join locked using (scope)
    where s.replica = g.replica and s.scope = g.scope returning s.scope, s.replica, g.cost),
corrected as (
    update presumed p set microusd = p.microusd - g.cost from given g
    where p.replica = g.replica and p.scope = g.scope
      and not exists (select 1 from cut where cut.scope = g.scope and cut.replica = g.replica)
    returning p.scope, p.replica, g.cost),
moved as (
    select g.scope, sum(g.cost - coalesce(p.cost, 0)) as spent, sum(coalesce(c.cost, 0)) as sliced
    from given g left join cut c using (scope, replica) left join corrected p using (scope, replica)
    group by g.scope)
insert into accounts as a (scope, spent_microusd, leased_microusd)
select scope, spent, -sliced from moved order by scope
on conflict (scope) do update set
    spent_microusd = a.spent_microusd + excluded.spent_microusd,
    leased_microusd = a.leased_microusd + excluded.leased_microusd;

-- name: cost_by
-- `by` is one of `CostGrouping`, never the caller's text.
select case %(by)s
           when 'model' then model when 'campaign' then campaign
           when 'category' then coalesce(nullif(category, ''), '(none)')
           else to_char(started_at at time zone 'UTC', 'YYYY-MM-DD') end as name,
       count(*)::int as tries, count(*) filter (where outcome = 'ok')::int as answered,
       coalesce(sum((usage->>'input_tokens')::bigint), 0)::bigint as input_tokens,
       coalesce(sum((usage->>'cached_tokens')::bigint), 0)::bigint as cached_tokens,
       coalesce(sum((usage->>'output_tokens')::bigint), 0)::bigint as output_tokens,
       coalesce(sum(cost_microusd), 0)::bigint as cost_microusd,
       count(*) filter (where not cost_known)::int as unknown
from calls
where (%(campaign)s::text is null or campaign = %(campaign)s)
  and (%(since)s::timestamptz is null or started_at >= %(since)s)
  and (%(until)s::timestamptz is null or started_at < %(until)s)
group by 1 order by cost_microusd desc, 1;

-- name: budgets
select a.scope, a.cap_microusd, a.spent_microusd, a.leased_microusd, a.epoch,
       coalesce((select sum(microusd) from presumed p where p.scope = a.scope), 0)::bigint as presumed_microusd,
       a.exhausted_epoch is not distinct from a.epoch as exhausted
from accounts a where a.scope ~ '^(campaign|day|month)/' order by a.scope;

-- name: slices_of
select scope, microusd from slices where replica = %(replica)s order by scope;
