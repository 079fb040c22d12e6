-- What lies in the warehouse, and for which order. available + reserved + shipped never changes.
create table stock (
    sku       text primary key,
    available integer not null check (available >= 0),
    reserved  integer not null default 0 check (reserved >= 0),
    shipped   integer not null default 0 check (shipped >= 0),
    price     numeric(12, 2) not null -- of one, from a supplier
);

create table reservation (
    order_id    text primary key,
    sku         text not null references stock,
    quantity    integer not null check (quantity > 0),
    reserved_at timestamptz not null default now(),
    shipped_at  timestamptz
);

insert into stock (sku, available, price) values ('lamp', 500, 12.5), ('desk', 20, 80), ('globe', 1, 25);

-- What suppliers have been asked for: deliveries, and the lists that they belong to.
create table delivery (
    delivery_id text primary key,
    supplier    text not null,
    sku         text not null references stock,
    quantity    integer not null check (quantity > 0),
    price       numeric(12, 2) not null
);

create table restock (
    restock_id text primary key,
    lines      integer not null,
    price      numeric(12, 2) not null
);
