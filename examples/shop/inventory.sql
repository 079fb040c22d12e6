-- What lies in the warehouse, and for which order. available + reserved never changes.
create table stock (
    sku       text primary key,
    available integer not null check (available >= 0),
    reserved  integer not null default 0 check (reserved >= 0)
);

create table reservation (
    order_id    text primary key,
    sku         text not null references stock,
    quantity    integer not null check (quantity > 0),
    reserved_at timestamptz not null default now()
);

insert into stock values ('lamp', 500), ('desk', 20), ('globe', 1);
