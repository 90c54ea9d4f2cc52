create database shop;
use shop;
create table shop.orders (
    id int unsigned auto_increment primary key,
    buyer varchar(60) character set latin1 not null,
    email varchar(80),
    state enum('cart', 'paid', 'sent', 'returned') not null,
    total decimal(10,2) not null,
    gift tinyint(1) not null default 0,
    ordered_on date not null,
    paid_at timestamp(3) null
);
create table shop.vouchers (
    code char(8) primary key,
    percent tinyint unsigned not null,
    valid_until date not null
);
insert into shop.orders (buyer, email, state, total, gift, ordered_on, paid_at)
select concat(' Käufer ', seq), concat('Buyer', seq, '@Example.org'),
       elt(1 + seq % 4, 'cart', 'paid', 'sent', 'returned'), seq * 1.37, seq % 9 = 0,
       if(seq % 7 = 0, '0000-00-00', '2024-01-01' + interval seq % 700 day),
       if(seq % 4 = 0, null, '2024-01-01' + interval seq * 1001 microsecond)
from seq_1_to_:rows;
insert into shop.vouchers
select concat('V', seq), seq % 50, if(seq % 3 = 0, '0000-00-00', '2030-12-31')
from seq_1_to_200;
create user tailrace_shop;
grant replication slave, binlog monitor on *.* to tailrace_shop;
grant select on shop.* to tailrace_shop;
