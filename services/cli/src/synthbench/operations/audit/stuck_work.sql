-- What waits for something that will not come. Each row says who waits, and which consumers (comma-separated) may still
-- have the message that he waits for: he is a culprit only while they have none.

-- name: open_without_anything_under_way
select format('submission %s is open, and nothing of it can move', s.submission_id) as culprit, '' as readers
from scheduler.submissions s
where s.state = 'open' and s.created_at < now() - interval '10 seconds'
  and not exists (select 1 from scheduler.rollouts r where r.submission_id = s.submission_id
                  and r.state in ('planned', 'ready', 'running', 'closed'))
union all
select format('rollout %s of submission %s runs, and no attempt of it is open', r.rollout_id, r.submission_id), ''
from scheduler.rollouts r
where r.state = 'running' and not exists
    (select 1 from scheduler.attempts a where a.rollout_id = r.rollout_id and a.closed_at is null)
union all
select format('rollout %s attempt %s: the lease of %s ended at %s, and nobody closed it', rollout_id, attempt, executor,
              to_char(lease_expires, 'HH24:MI:SS')), ''
from scheduler.attempts where closed_at is null and lease_expires < now() - interval '60 seconds'
union all
select format('rollout %s of submission %s is ready, and no message says so', r.rollout_id, r.submission_id),
       format('executor-task-ready-%s-%s', r.pool, (array['high', 'normal', 'low'])[r.priority + 1])
from scheduler.rollouts r
where r.state = 'ready' and r.changed_at < now() - interval '10 seconds'
  and not exists (select 1 from scheduler.outbox o where o.published_at is null)
union all
select format('rollout %s of submission %s is planned, its pool %s has nothing ready, and nobody makes it so',
              r.rollout_id, r.submission_id, r.pool), ''
from scheduler.rollouts r
where r.state = 'planned' and greatest(r.not_before, r.changed_at) < now() - interval '30 seconds'
  and not exists (select 1 from scheduler.campaigns c where c.campaign in (r.campaign, '*') and c.paused_at is not null
                  and (c.paused_until is null or c.paused_until > now()))
  and not exists (select 1 from scheduler.rollouts q where q.pool = r.pool and q.state = 'ready');

-- name: announced_and_never_read
-- An event went out, and who it is for does not know of it: its id was taken for one that was there already, or it was lost.
select format('attempt.closed of rollout %s attempt %s: the collector does not know it', s.rollout_id, s.attempt) as culprit,
       'collector-attempt-closed' as readers
from scheduler.attempts s left join catalogue.attempts a using (rollout_id, attempt)
where s.closed_at < now() - interval '10 seconds' and (a.rollout_id is null or a.state = 'open')
  and not exists (select 1 from scheduler.outbox o where o.published_at is null)
union all
select format('trajectory.done of trajectory %s: quality does not know it', t.trajectory_id), 'quality-trajectory-done'
from catalogue.trajectories t left join quality.scorings q using (trajectory_id)
where t.counted and q.trajectory_id is null and t.stored_at < now() - interval '10 seconds'
  and not exists (select 1 from catalogue.outbox o where o.published_at is null)
union all
select format('verification.requested for trajectory %s: nobody answered', q.trajectory_id),
       'quality-verification-finished,' || (select string_agg(format('executor-verification-requested-%s-quality', pool), ',')
                                            from unnest(array['bubblewrap', 'docker', 'process']) as pool)
from quality.scorings q
where q.state = 'waiting' and q.created_at < now() - interval '10 seconds'
  and not exists (select 1 from quality.outbox o where o.published_at is null)
union all
select format('trajectory.scored of trajectory %s: diversity does not know it', q.trajectory_id),
       'diversity-trajectory-scored'
from quality.scorings q left join diversity.curations d using (trajectory_id)
where q.state = 'scored' and d.trajectory_id is null and q.scored_at < now() - interval '10 seconds'
  and not exists (select 1 from quality.outbox o where o.published_at is null)
union all
select format('trajectory.curated of trajectory %s: the %s does not know it', d.trajectory_id,
              case when r.state = 'closed' then 'scheduler' else 'collector' end),
       case when r.state = 'closed' then 'scheduler-trajectory-curated' else 'collector-trajectory-curated' end
from diversity.curations d join catalogue.trajectories t using (trajectory_id)
left join scheduler.rollouts r on r.rollout_id = t.rollout_id
where (r.state = 'closed' or t.curation is null) and d.created_at < now() - interval '10 seconds'
  and not exists (select 1 from diversity.outbox o where o.published_at is null);

-- name: named_and_kept_by_nobody
select format('the ledger bills rollout %s attempt %s, which the scheduler never granted', c.rollout_id, c.attempt) as culprit,
       '' as readers
from ledger.calls c left join scheduler.attempts s using (rollout_id, attempt)
where s.rollout_id is null
union
select format('the catalogue knows rollout %s attempt %s, which the scheduler never granted', a.rollout_id, a.attempt), ''
from catalogue.attempts a left join scheduler.attempts s using (rollout_id, attempt)
where s.rollout_id is null and not exists
    (select 1 from catalogue.trajectories t
     where t.rollout_id = a.rollout_id and t.attempt = a.attempt and t.imported is not null)
union
select format('the catalogue knows submission %s, which the scheduler does not', c.submission_id), ''
from catalogue.submissions c left join scheduler.submissions s using (submission_id)
where s.submission_id is null and not exists
    (select 1 from catalogue.trajectories t where t.submission_id = c.submission_id and t.imported is not null)
union
select format('quality scores trajectory %s, which the catalogue does not know', q.trajectory_id), ''
from quality.scorings q left join catalogue.trajectories t using (trajectory_id)
where t.trajectory_id is null and not exists
    (select 1 from catalogue.attempts a where a.rollout_id = (q.body->>'rollout_id')::uuid
     and a.attempt = (q.body->>'attempt')::int and a.expired_at is not null);
