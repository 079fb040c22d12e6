-- What the customers have, and what they have paid. Balances and charges, less what was refunded,
-- are always the same sum.
create table account (
    customer text primary key,
    balance  numeric(12, 2) not null check (balance >= 0)
);

create table charge (
    order_id   text primary key,
    customer   text not null references account,
    amount     numeric(12, 2) not null check (amount >= 0),
    refunded   numeric(12, 2) not null default 0 check (refunded between 0 and amount),
    charged_at timestamptz not null default now()
);

insert into account values ('ada', 1000), ('bob', 30), ('eve', 5000), ('joe', 5000);

-- What the shop may spend on goods, and for which deliveries it is set aside.
create table budget (
    purpose text primary key,
    free    numeric(12, 2) not null check (free >= 0)
);

create table commitment (
    delivery_id text primary key,
    amount      numeric(12, 2) not null check (amount >= 0)
);

insert into budget values ('goods', 2000);
