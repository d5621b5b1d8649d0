-- include: api_calls

-- Lists are newest first, of one state or of one campaign.
drop index submissions_by_time;
create index submissions_by_time on submissions (created_at desc, submission_id desc);
create index submissions_of_state on submissions (state, created_at desc, submission_id desc);
create index submissions_of_campaign on submissions (campaign, created_at desc, submission_id desc);
create index rollouts_by_time on rollouts (created_at desc, rollout_id desc);
create index rollouts_of_state on rollouts (state, created_at desc, rollout_id desc);
create index rollouts_of_campaign on rollouts (campaign, created_at desc, rollout_id desc);
