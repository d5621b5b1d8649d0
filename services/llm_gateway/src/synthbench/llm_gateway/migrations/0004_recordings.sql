-- How often an attempt asked the same thing: its answers are recorded apart. Rows go when the attempt is closed.
create table asked (
    rollout_id uuid not null,
    attempt    int not null,
    request    text not null,
    number     int not null,
    primary key (rollout_id, attempt, request, number)
);
