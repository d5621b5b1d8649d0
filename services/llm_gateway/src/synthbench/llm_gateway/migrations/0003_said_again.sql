-- When budget.exhausted was said last: it is said again while calls still ask.
alter table accounts add column exhausted_at timestamptz;
