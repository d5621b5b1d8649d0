-- Who submitted, as the bus proves it. Before, all clients were one user, `client`.
alter table submissions add column submitter text not null default 'client';
create index submissions_of_submitter on submissions (campaign, submitter);

-- Whose the cap of a campaign is; null: nobody's, or the operator's.
alter table campaigns add column owner text;
update campaigns set owner = 'client' where cost_cap_microusd is not null;

-- A rejection goes to its submitter alone.
update outbox set subject = 'task.rejected.client' where subject = 'task.rejected';
