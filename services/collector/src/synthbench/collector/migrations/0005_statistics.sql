-- What became of rollouts, for people with SQL and for `synth-bench stats`. Of imported ones nothing is counted.
create view funnel as
select s.campaign,
       sum(json_array_length(s.body::json -> 'rollout_ids')) as submitted,
       sum(r.ran) as ran, sum(r.stored) as stored, sum(r.solved) as solved, sum(r.scored) as scored,
       sum(r.accepted) as accepted, sum(r.admitted) as admitted
from submissions s
left join lateral (
    select count(distinct a.rollout_id) as ran, count(t.*) as stored, count(*) filter (where t.outcome = 'solved') as solved,
           count(t.verdict) as scored, count(*) filter (where t.verdict = 'accept') as accepted,
           count(*) filter (where t.curation = 'admitted') as admitted
    from attempts a
    left join trajectories t on t.rollout_id = a.rollout_id and t.attempt = a.attempt and t.counted
    where a.submission_id = s.submission_id
) r on true
group by s.campaign;

create view yield_by_day as
select (stored_at at time zone 'UTC')::date as day, campaign, count(*) as stored,
       count(*) filter (where outcome = 'solved') as solved, count(*) filter (where verdict = 'accept') as accepted,
       count(*) filter (where curation = 'admitted') as admitted,
       sum(input_tokens + output_tokens) as tokens, sum(cost_microusd) as cost_microusd
from trajectories
where counted
group by 1, 2;
