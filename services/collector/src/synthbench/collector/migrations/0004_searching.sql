-- What is searched for words: instruction, and what the agent said and called.
create table trajectory_words (
    trajectory_id uuid primary key,
    stored_at     timestamptz not null default now(), -- of the trajectory: both are written in one transaction
    words         tsvector not null
);
create index trajectory_words_by_word on trajectory_words using gin (words);

-- Lists are by time, newest first, of one value of a facet.
create index trajectories_of_campaign on trajectories (campaign, stored_at desc, trajectory_id desc);
create index trajectories_of_task on trajectories (task, stored_at desc, trajectory_id desc);
create index trajectories_of_scaffold on trajectories (scaffold, stored_at desc, trajectory_id desc);
create index trajectories_of_route on trajectories (route, stored_at desc, trajectory_id desc);
create index trajectories_of_model on trajectories (model, stored_at desc, trajectory_id desc);
create index trajectories_of_category on trajectories (category, stored_at desc, trajectory_id desc);
create index trajectories_of_outcome on trajectories (outcome, stored_at desc, trajectory_id desc);
create index trajectories_of_verdict on trajectories (verdict, stored_at desc, trajectory_id desc);
create index trajectories_of_curation on trajectories (curation, stored_at desc, trajectory_id desc);
create index trajectories_imported on trajectories (imported, stored_at desc, trajectory_id desc)
    where imported is not null;
create index trajectories_by_reward on trajectories (reward, stored_at desc);
create index trajectories_by_steps on trajectories (steps, stored_at desc);
drop index trajectories_by_time;
create index trajectories_by_time on trajectories (stored_at desc, trajectory_id desc);
