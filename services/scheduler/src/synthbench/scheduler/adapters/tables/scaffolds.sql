-- name: announce
insert into scaffolds (name, resumable)
select name, resumable from unnest(%(names)s::text[], %(resumable)s::boolean[]) as offer (name, resumable) order by name
on conflict (name) do update set resumable = excluded.resumable, announced_at = now()
where scaffolds.resumable <> excluded.resumable;

-- name: announced
select name, resumable from scaffolds;
