-- include: api_calls
create index rollouts_by_time on rollouts (created_at desc, rollout_id);
