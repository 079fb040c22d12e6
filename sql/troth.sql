-- The schema that a participant needs in its own database. Run by `troth-participant --install`, in
-- one transaction; safe to repeat.

create schema if not exists troth;
comment on schema troth is 'Troth: what a participant of distributed transactions keeps';

-- What is installed here: the highest version counts.
create table if not exists troth.installed (
    version integer primary key,
    at timestamptz not null default now()
);

comment on table troth.installed is 'The versions of this schema; the highest counts';

-- A row of kind 'one-phase' proves that the work it was committed with was committed: of a one-phase
-- transaction, whose connection may be lost in the middle of its COMMIT. One of kind 'none' proves
-- that it was not, and never will be: whoever looked and found nothing left it. Rows of sagas are of
-- kind 'done': the key is the saga's id, '/' and the step's name, for its compensation then '/undo';
-- the result is answered to whoever asks for the same again.
create table if not exists troth.barrier (
    gtrid text primary key,
    kind text not null default 'one-phase',
    at timestamptz not null default now()
);
alter table troth.barrier add column if not exists result text;
comment on table troth.barrier is
    'One-phase commit and steps of sagas: what was committed, and what never will be';
-- For deleting by age. BRIN, as rows come in the order of time: it costs a commit next to nothing.
create index if not exists barrier_at on troth.barrier using brin (at);

-- Three-phase commit: this site's register of each transaction (core/register.h). The participant is
-- in the key because two of them may share a database, and two sites must never share a register.
create table if not exists troth.register (
    promised_round bigint not null default 0,
    promised_site bigint not null default 0,
    accepted_round bigint not null default 0,
    accepted_site bigint not null default 0,
    value smallint not null default 0,
    begun_us bigint not null,
    at timestamptz not null default now(),
    gtrid text collate "C" not null,
    participant text collate "C" not null,
    sites text not null,
    primary key (gtrid, participant)
);
alter table troth.register reset (fillfactor); -- most rows are stored once
-- No CHECK: the server reads its expression again for each statement, which costs a batch of rows a
-- tenth, and who reads a row looks whether it makes sense.
alter table troth.register drop constraint if exists register_value_check;
create index if not exists register_at on troth.register using brin (at);
comment on table troth.register is
    'Three-phase commit: what this site has promised and accepted, a row a transaction. A row that '
    'is deleted or changed by hand may let two databases disagree';
comment on column troth.register.value is 'accepted: 0 nothing, 1 abort, 2 commit';
comment on column troth.register.sites is
    'whom to ask when the coordinator is gone; empty where a lock of the branch tells, or nothing';

-- Who takes part in three-phase transactions: each list once. A branch holds, in the transaction that
-- it is, the shared advisory lock (1953657960, id) until it is committed or rolled back: PREPARE
-- TRANSACTION keeps that with it. The index is of hashes, as a list may be too long for another.
create table if not exists troth.sites (
    id integer primary key,
    sites text collate "C" not null,
    exclude using hash (sites with =)
);
comment on column troth.sites.id is
    'made of the list itself, so that a number never comes to mean another one, whatever is deleted';
comment on table troth.sites is
    'Three-phase commit: lists of who takes part. A prepared branch names its list by the advisory '
    'lock (1953657960, id) that it holds. There are as many rows as different lists were ever used, '
    'some 100 bytes each, and none is deleted: a running participant remembers its number';

-- What was committed and applied at every site needs no register any more: a bit is left of it.
create table if not exists troth.settled (
    cluster text collate "C",
    coordinator text collate "C",
    epoch bigint,
    block bigint,
    bits bit(4096) not null,
    at timestamptz not null default now(),
    primary key (cluster, coordinator, epoch, block)
);
comment on table troth.settled is
    'Three-phase commit: transactions that are committed and applied everywhere, a bit each';
comment on column troth.settled.block is 'the transaction''s seq / 4096; its bit is seq % 4096';

-- What an operator made of a branch that nobody could decide. Durable before the branch is ended; kept
-- until somebody deletes it, as it is the only trace of what was done. The participant tells whose
-- branch it is, as two of them may share a database.
create table if not exists troth.heuristic (
    gid text collate "C" primary key,
    participant text collate "C" not null,
    gtrid text collate "C" not null,
    commit boolean not null,
    xid bigint,
    reason text not null,
    by text not null,
    at_us bigint not null,
    forgotten_at timestamptz
);
comment on table troth.heuristic is
    'Outcomes that an operator forced on branches in doubt, a row a branch';

insert into troth.installed (version) values (1), (2), (3), (4), (5) on conflict do nothing;
