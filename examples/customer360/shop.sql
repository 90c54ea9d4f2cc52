create table customer (
    erp_no char(5) primary key,
    first_name varchar(40) not null,
    last_name varchar(40) not null,
    email varchar(80),
    newsletter tinyint(1) not null default 0,
    last_visit date not null default '0000-00-00'
);
insert into customer (erp_no, first_name, last_name, email, newsletter, last_visit) values
    ('10001', 'Ada', 'Lovelace', ' Countess@Example.org', 1, '2026-10-01'),
    ('10002', 'Grace', 'Murray Hopper', 'grace@example.org', 0, '0000-00-00'),
    ('10009', 'Not', 'Yet', 'not.yet@example.org', 1, '2026-11-02');
create table subscriber (
    no int primary key,
    email varchar(80) not null,
    topic varchar(20)
);
insert into subscriber values
    (1, ' ADA@Example.org', 'engines'),
    (2, 'grace@example.org', 'compilers'),
    (3, 'nobody@example.org', 'gossip'),
    (4, 'emmy@example.org', 'algebra'),
    (5, 'Emmy@Example.org', 'physics');
