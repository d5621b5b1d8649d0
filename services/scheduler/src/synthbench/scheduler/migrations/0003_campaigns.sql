-- What is known of a campaign beside its submissions: its cap, and whether it is paused. `*` is all that cost money.
create table campaigns (
    campaign          text primary key,
    cost_cap_microusd bigint,
    -- grows whenever the cap is set, or the campaign resumed: the ledger takes the cap of the greatest
    epoch             bigint not null default 0,
    paused_at         timestamptz,
    paused_until      timestamptz,
    reason            text not null default ''
);

-- Why a rollout may not run now; null if it may.
create function paused(rollout_campaign text, simulated boolean) returns text language sql stable as $$
    select c.reason from campaigns c
    where c.campaign in (rollout_campaign, '*') and c.paused_at is not null
      and (c.paused_until is null or c.paused_until > now())
      and not (c.campaign = '*' and simulated)
    order by c.campaign desc limit 1
$$;
