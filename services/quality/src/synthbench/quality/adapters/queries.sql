-- name: add_scoring
insert into scorings (trajectory_id, body) values (%(trajectory_id)s, %(body)s)
on conflict (trajectory_id) do nothing returning trajectory_id;

-- name: lock_scoring
select body, state, tries from scorings where trajectory_id = %(trajectory_id)s for update;

-- name: scoring_of_verification
select s.body, s.state, s.tries from verifications v join scorings s using (trajectory_id)
where v.verification_id = %(verification_id)s;

-- name: add_verification
insert into verifications (verification_id, trajectory_id) values (%(verification_id)s, %(trajectory_id)s)
on conflict do nothing;

-- name: count_try
update scorings set tries = tries + 1 where trajectory_id = %(trajectory_id)s;

-- name: finish_scoring
update scorings set state = 'scored', scored = %(scored)s, scored_at = now() where trajectory_id = %(trajectory_id)s;

-- name: verifications_of
select verification_id from verifications where trajectory_id = %(trajectory_id)s;
