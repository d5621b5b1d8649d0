-- name: take_number
-- The smallest number that the attempt does not use for this request; no row where another replica was faster.
insert into asked (rollout_id, attempt, request, number)
select %(rollout_id)s, %(attempt)s, %(request)s, min(n)
from generate_series(0, (select count(*)::int from asked
    where rollout_id = %(rollout_id)s and attempt = %(attempt)s and request = %(request)s)) as n
where not exists (select 1 from asked a where a.rollout_id = %(rollout_id)s and a.attempt = %(attempt)s
                  and a.request = %(request)s and a.number = n)
on conflict do nothing
returning number;

-- name: last_number
select max(number) as number from asked
where rollout_id = %(rollout_id)s and attempt = %(attempt)s and request = %(request)s;

-- name: give_number_back
delete from asked where rollout_id = %(rollout_id)s and attempt = %(attempt)s and request = %(request)s
    and number = %(number)s;

-- name: forget_numbers
delete from asked where rollout_id = %(rollout_id)s and attempt <= %(attempt)s;
