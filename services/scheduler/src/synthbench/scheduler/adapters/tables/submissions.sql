-- name: insert
insert into submissions (submission_id, submitter, campaign, body, task, pool, state, errors, max_cost_microusd, finished_at)
values (%(submission_id)s, %(submitter)s, %(campaign)s, %(body)s, %(task)s, %(pool)s, %(state)s, %(errors)s, %(max_cost)s,
        case when %(state)s = 'rejected' then now() end)
on conflict (submission_id) do nothing
returning submission_id;

-- name: submitter_of
select submitter from submissions where submission_id = %(submission_id)s;

-- name: lock
select submission_id from submissions where submission_id = %(submission_id)s for update;

-- name: finish
-- A submission is over when nothing of it can still move.
update submissions s
set state = case when exists (select 1 from rollouts r where r.submission_id = s.submission_id and r.state = 'cancelled')
                 then 'cancelled'
                 when exists (select 1 from rollouts r where r.submission_id = s.submission_id and r.state = 'curated')
                 then 'done'
                 else 'failed' end,
    finished_at = now()
where s.submission_id = %(submission_id)s and s.state = 'open'
  and not exists (select 1 from rollouts r where r.submission_id = s.submission_id
                  and r.state not in ('curated', 'failed', 'cancelled'));
