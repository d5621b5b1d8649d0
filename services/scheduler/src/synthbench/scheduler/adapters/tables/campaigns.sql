-- name: rights
-- Whose the cap of a campaign is, and whether anybody else submits into it.
select (select owner from campaigns where campaign = %(campaign)s) as owner,
       exists (select 1 from submissions
               where campaign = %(campaign)s and submitter <> %(submitter)s and state <> 'rejected') as shared;

-- name: set_cap
-- A greater cap lets a campaign go on that its cap had stopped.
insert into campaigns as c (campaign, cost_cap_microusd, epoch, owner)
values (%(campaign)s, %(cap)s, 1, nullif(%(owner)s, 'operator'))
on conflict (campaign) do update set
    cost_cap_microusd = excluded.cost_cap_microusd,
    owner = coalesce(c.owner, excluded.owner),
    epoch = c.epoch + 1,
    paused_at = case when excluded.cost_cap_microusd > c.cost_cap_microusd then null else c.paused_at end
where c.cost_cap_microusd is distinct from excluded.cost_cap_microusd;

-- name: pause
-- The budgets of the calendar have no epoch here: a message about them from before all was resumed is old, and of two the
-- one that lasts longer pauses.
insert into campaigns as c (campaign, epoch, paused_at, paused_until, reason)
values (%(campaign)s, %(epoch)s, now(), %(until)s, %(reason)s)
on conflict (campaign) do update set
    paused_at = now(), paused_until = excluded.paused_until, reason = excluded.reason
where case when c.campaign = '*' then %(exhausted_at)s > coalesce(c.resumed_at, '-infinity')
                                  and (c.paused_at is null or c.paused_until < excluded.paused_until)
           else c.epoch <= excluded.epoch end;

-- name: resume
insert into campaigns as c (campaign, cost_cap_microusd, epoch)
select %(campaign)s, %(cap)s, 1
where %(campaign)s = '*' or exists (select 1 from submissions where campaign = %(campaign)s)
on conflict (campaign) do update set
    cost_cap_microusd = coalesce(excluded.cost_cap_microusd, c.cost_cap_microusd),
    epoch = c.epoch + 1, paused_at = null, resumed_at = now(), reason = ''
returning campaign, cost_cap_microusd, epoch;
