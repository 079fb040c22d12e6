-- What the shop has promised. A saga cancels what it can't keep; nothing is ever deleted.
create table purchase (
    order_id  text primary key,
    customer  text not null,
    sku       text not null,
    quantity  integer not null check (quantity > 0),
    amount    numeric(12, 2) not null check (amount >= 0),
    fee       numeric(12, 2) not null default 0,
    state     text not null default 'placed' check (state in ('placed', 'confirmed', 'cancelled')),
    placed_at timestamptz not null default now()
);

create table refund_request (
    order_id     text primary key references purchase,
    amount       numeric(12, 2) not null check (amount > 0),
    refused      text,
    requested_at timestamptz not null default now()
);

-- What customers were told.
create table message (
    order_id text not null,
    message  text not null,
    sent_at  timestamptz not null default now()
);
