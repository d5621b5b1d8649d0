-- Of trajectories that others made: their format, and whether they say that the task was solved. Such a one never counts.
alter table trajectories add column imported text;
alter table trajectories add column resolved boolean;
alter table trajectories add constraint imported_never_counts check (imported is null or not counted);
