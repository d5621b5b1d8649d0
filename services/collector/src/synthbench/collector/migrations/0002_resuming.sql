-- Whether no further attempt of the rollout follows: till then the journal of a lost one is what the next resumes from.
alter table attempts add column last boolean not null default false;

-- Which trajectory, after which step, this one branches off; and where an attempt went on.
alter table trajectories add column forked_from uuid;
alter table trajectories add column forked_step int;
alter table trajectories add column resumed_from int;
create index trajectories_of_parent on trajectories (forked_from) where forked_from is not null;
