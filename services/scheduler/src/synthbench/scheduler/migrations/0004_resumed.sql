-- When somebody let it go on: what was said of the calendar's budgets before that is old.
alter table campaigns add column resumed_at timestamptz;
