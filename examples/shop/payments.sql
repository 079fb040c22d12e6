-- What the customers have, and what they have paid. The sum of both never changes.
create table account (
    customer text primary key,
    balance  numeric(12, 2) not null check (balance >= 0)
);

create table charge (
    order_id   text primary key,
    customer   text not null references account,
    amount     numeric(12, 2) not null check (amount >= 0),
    charged_at timestamptz not null default now()
);

insert into account values ('ada', 1000), ('bob', 30), ('eve', 5000), ('joe', 5000);
