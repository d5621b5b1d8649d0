-- name: insert_call
insert into api_calls (caller, role, method, path, status)
values (%(caller)s, %(role)s, %(method)s, %(path)s, %(status)s);

-- name: list_calls
select * from api_calls where id < %(before)s order by id desc limit %(limit)s;
