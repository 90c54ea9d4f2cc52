create schema sales;
create table sales.kunden (
    nr char(5) primary key,
    name1 varchar(40) not null,
    name2 varchar(40),
    kz_status char(1) not null,
    kreditlimit varchar(20),
    land char(2),
    angelegt char(10),
    email varchar(80),
    ustid varchar(20)
);
insert into sales.kunden values
    ('10001', ' Ada', 'Lovelace', 'A', '1.234,56', 'gb', '31.12.1999', 'Ada@Example.org', 'GB 999 9999 73'),
    ('10002', 'Grace', 'Hopper', 'A', '50.000,00', 'us', '09.12.2006', 'grace@example.org', null),
    ('10003', 'Konrad', 'Zuse', 'S', '0', 'de', '12.05.1941', null, 'DE 136 695 976'),
    ('10004', 'Emmy', 'Noether', 'A', '12.5OO,00', 'de', '01.01.2001', 'emmy@example.org', null),
    ('10005', 'Alan', 'Turing', 'X', '100', 'gb', '00.00.0000', 'alan@example.org', null),
    ('10006', 'Hedy', 'Lamarr', 'S', '99,00', 'at', '11.08.1942', 'hedy@example.org', null);
