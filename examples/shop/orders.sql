-- What the shop has promised.
create table purchase (
    order_id  text primary key,
    customer  text not null,
    sku       text not null,
    quantity  integer not null check (quantity > 0),
    amount    numeric(12, 2) not null check (amount >= 0),
    placed_at timestamptz not null default now()
);
