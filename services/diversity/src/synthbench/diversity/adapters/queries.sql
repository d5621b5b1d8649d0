-- name: lock_class
select pg_advisory_xact_lock(hashtextextended('synthbench.diversity/' || %(class)s, 0));

-- name: known
select trajectory_id from curations where trajectory_id = %(trajectory_id)s and policy = %(policy)s;

-- name: candidates
select distinct c.trajectory_id, c.exact, c.signature, c.seq
from bands b join curations c using (trajectory_id, policy)
where b.class = %(class)s and b.policy = %(policy)s and c.status = 'admitted'
  and (b.band, b.key) in (select * from unnest(%(bands)s::int[], %(keys)s::bytea[]))
order by c.seq
limit 1000;

-- name: admitted_of_task
select count(*)::int as admitted from curations
where class = %(class)s and policy = %(policy)s and task = %(task)s and status = 'admitted';

-- name: insert_curation
insert into curations (trajectory_id, policy, class, task, exact, signature, status, duplicate_of, similarity)
values (%(trajectory_id)s, %(policy)s, %(class)s, %(task)s, %(exact)s, %(signature)s, %(status)s, %(duplicate_of)s,
    %(similarity)s);

-- name: insert_bands
insert into bands (class, policy, band, key, trajectory_id)
select %(class)s, %(policy)s, band, key, %(trajectory_id)s
from unnest(%(bands)s::int[], %(keys)s::bytea[]) as t(band, key);
