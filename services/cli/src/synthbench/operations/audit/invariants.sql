-- The auditor reads every schema itself. Each query yields the culprits of one invariant as text; none is good.

-- name: one_counted_attempt_a_rollout
select format('rollout %s: %s attempts count, state %s', r.rollout_id, count(a.*), r.state)
from scheduler.rollouts r left join scheduler.attempts a on a.rollout_id = r.rollout_id and a.counted
group by r.rollout_id, r.state
having count(a.*) > 1 or (r.state in ('closed', 'curated') and count(a.*) <> 1)
    or (r.state not in ('closed', 'curated') and count(a.*) > 0);

-- name: scheduler_and_catalogue_agree_on_what_counts
select format('rollout %s attempt %s: the scheduler counts %s (%s), the catalogue %s (%s)', rollout_id, attempt,
              s.counted, s.outcome, t.counted, t.outcome)
from scheduler.attempts s full join catalogue.trajectories t using (rollout_id, attempt)
where s.closed_at is not null and t.rollout_id is not null
  and (s.counted is distinct from t.counted or s.outcome is distinct from t.outcome);

-- name: every_closed_attempt_is_stored
-- Or was, until it expired as the policy has it.
select format('rollout %s attempt %s: %s', s.rollout_id, s.attempt,
              case when a.rollout_id is null then 'unknown to the catalogue' else 'state ' || a.state end)
from scheduler.attempts s
left join catalogue.attempts a using (rollout_id, attempt)
left join catalogue.trajectories t using (rollout_id, attempt)
where s.closed_at is not null and t.trajectory_id is null and a.expired_at is null;

-- name: no_trajectory_without_a_closed_attempt
select format('trajectory %s: rollout %s attempt %s was never closed', t.trajectory_id, t.rollout_id, t.attempt)
from catalogue.trajectories t left join scheduler.attempts s using (rollout_id, attempt)
where t.imported is null and s.closed_at is null;

-- name: attempt_numbers_have_no_gap
select format('rollout %s: %s attempts, the last is %s', rollout_id, count(*), max(attempt))
from scheduler.attempts group by rollout_id having count(*) <> max(attempt);

-- name: a_failure_of_ours_is_never_counted
select format('rollout %s attempt %s: %s counts', rollout_id, attempt, outcome)
from scheduler.attempts where counted and outcome in ('infra_error', 'cancelled');

-- name: every_counted_trajectory_is_scored_and_curated
select format('trajectory %s: verdict %s, curation %s', t.trajectory_id, coalesce(t.verdict, 'none'), coalesce(t.curation, 'none'))
from catalogue.trajectories t where t.counted and (t.verdict is null or t.curation is null);

-- name: quality_and_catalogue_agree
select format('trajectory %s: quality says %s, the catalogue %s', t.trajectory_id, q.scored->>'verdict', t.verdict)
from catalogue.trajectories t full join quality.scorings q using (trajectory_id)
where (t.trajectory_id is null or t.counted) and (q.scored->>'verdict') is distinct from t.verdict;

-- name: diversity_and_catalogue_agree
select format('trajectory %s: diversity says %s, the catalogue %s', t.trajectory_id, d.status, t.curation)
from catalogue.trajectories t full join diversity.curations d using (trajectory_id)
where (t.trajectory_id is null or t.counted) and d.status is distinct from t.curation;

-- name: an_admitted_trajectory_can_be_found_again
select format('trajectory %s is admitted without bands', c.trajectory_id)
from diversity.curations c
where c.status = 'admitted'
  and not exists (select 1 from diversity.bands b where b.trajectory_id = c.trajectory_id and b.policy = c.policy);

-- name: ledger_and_catalogue_know_the_same_model_calls
select format('call %s: %s', coalesce(l.call_id, c.call_id),
              case when l.call_id is null then 'not in the ledger' else 'not in the catalogue' end)
from ledger.calls l full join catalogue.llm_calls c using (call_id)
where l.call_id is null or c.call_id is null or l.cost_microusd <> c.cost_microusd;

-- name: what_is_spent_is_what_was_called
-- What dead gateways held is presumed to be spent until their own late settlements say better.
select format('%s: %s booked, %s in calls, %s presumed', scope, s.spent_microusd, c.cost, coalesce(p.cost, 0))
from ledger.accounts s
join (select 'submission/' || submission_id as scope, sum(cost_microusd)::bigint as cost from ledger.calls group by 1
      union all select 'attempt/' || rollout_id || '/' || attempt, sum(cost_microusd)::bigint from ledger.calls group by 1
      union all select 'campaign/' || campaign, sum(cost_microusd)::bigint from ledger.calls group by 1) c
  using (scope)
left join (select scope, sum(microusd)::bigint as cost from ledger.presumed group by 1) p using (scope)
where s.spent_microusd <> c.cost + coalesce(p.cost, 0);

-- name: what_is_leased_lies_in_slices
select format('%s: %s leased, %s in slices', a.scope, a.leased_microusd, coalesce(sum(s.microusd), 0))
from ledger.accounts a left join ledger.slices s using (scope)
group by a.scope having a.leased_microusd <> coalesce(sum(s.microusd), 0);

-- name: steps_in_the_catalogue_are_those_of_the_trajectory
select format('rollout %s attempt %s: %s steps in the table, %s in the trajectory', t.rollout_id, t.attempt, count(s.*), t.steps)
from catalogue.trajectories t left join catalogue.steps s using (rollout_id, attempt)
group by t.rollout_id, t.attempt, t.steps having count(s.*) > t.steps;
