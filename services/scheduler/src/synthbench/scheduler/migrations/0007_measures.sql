-- How attempts ended of late.
create index attempts_by_end on attempts (closed_at) where closed_at is not null;
