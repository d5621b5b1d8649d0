-- name: changes_waiting
select count(*) as waiting from (select 1 from unarchived limit %(most)s) changes;

-- name: lock_change_log
select pg_try_advisory_lock(hashtext('catalogue.archive')) as locked;

-- name: oldest_changes
select seq, tbl, gone, body from unarchived order by seq limit %(most)s;

-- name: forget_changes
delete from unarchived where seq = any(%(numbers)s);

-- name: next_segment
select nextval('archive_segments') as number;

-- name: segments_from
select setval('archive_segments', greatest(%(number)s, (select last_value from archive_segments)));
