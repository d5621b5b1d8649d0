-- name: add
insert into outbox (id, subject, stream, headers, payload)
values (%(id)s, %(subject)s, %(stream)s, %(headers)s, %(payload)s) on conflict (id) do nothing;

-- name: add_many
-- One parameter for all events: arrays of texts cost the sender far more than JSON.
with added as (
    insert into outbox (id, subject, stream, headers, payload)
    select (e->>'id')::uuid, e->>'subject', e->>'stream', e->'headers', convert_to(e->>'payload', 'UTF8')
    from jsonb_array_elements(%(events)s::jsonb) as e on conflict (id) do nothing)
select pg_notify(%(channel)s, '');

-- name: notify
select pg_notify(%(channel)s, '');

-- name: take
select id, subject, stream, headers, payload from outbox
where published_at is null order by seq limit %(limit)s for update skip locked;

-- name: mark_published
update outbox set published_at = now() where id = any(%(ids)s);

-- name: count_unpublished
select count(*) as backlog from outbox where published_at is null;

-- name: publish_again
update outbox set published_at = null where id = %(id)s and published_at < now() - %(seconds)s * interval '1 second';

-- name: publish_again_since
update outbox set published_at = null where published_at > %(since)s;

-- name: publish_again_before
update outbox set published_at = null
where id in (select id from outbox where published_at < %(before)s order by published_at limit %(limit)s);

-- name: delete_old
-- A week of published events is kept for `synth-bench rebuild`, and for consumers that ask for an old answer again.
delete from outbox where published_at < now() - interval '7 days';
