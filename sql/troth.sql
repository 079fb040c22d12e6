-- The schema that a participant needs in its own database. Run by `troth-participant --install`, in
-- one transaction; safe to repeat.

create schema if not exists troth;
comment on schema troth is 'Troth: what a participant of distributed transactions keeps';

-- What is installed here: the highest version counts.
create table if not exists troth.installed (
    version integer primary key,
    at timestamptz not null default now()
);

-- A row of kind 'one-phase' proves that the work it was committed with was committed: of a one-phase
-- transaction, whose connection may be lost in the middle of its COMMIT. One of kind 'none' proves
-- that it was not, and never will be: whoever looked and found nothing left it.
create table if not exists troth.barrier (
    gtrid text primary key,
    kind text not null default 'one-phase',
    at timestamptz not null default now()
);
-- For deleting by age. BRIN, as rows come in the order of time: it costs a commit next to nothing.
create index if not exists barrier_at on troth.barrier using brin (at);

insert into troth.installed (version) values (1) on conflict do nothing;
