-- name: returned_of_calls
select call, model, fields from returned where rollout_id = %(rollout_id)s and call = any(%(calls)s::bytea[]);

-- name: keep_returned
insert into returned (rollout_id, call, model, fields)
select %(rollout_id)s, call, %(model)s, fields
from unnest(%(calls)s::bytea[], %(fields)s::bytea[]) as g(call, fields)
on conflict (rollout_id, call) do update set model = excluded.model, fields = excluded.fields, kept_at = now();

-- name: forget_returned
delete from returned where kept_at < now() - interval '8 days';
