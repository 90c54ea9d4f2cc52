create role tailrace login replication password 'tailrace';
create schema sales;
create table sales.orders (id bigint primary key, customer text not null, total numeric(12,2));
insert into sales.orders select g, 'customer ' || g % 100, g * 1.5 from generate_series(1, 1000) g;
grant usage on schema sales to tailrace;
grant select on all tables in schema sales to tailrace;
create publication tailrace for table sales.orders with (publish_via_partition_root = true);
