create table plain (id int primary key, big text, small text);
create table whole (id int primary key, big text, small text);
alter table plain alter big set storage external;
alter table whole alter big set storage external;
alter table whole replica identity full;
-- stream
insert into plain values (1, repeat('x', 5000), 'a'), (2, null, 'b');
update plain set small = 'c' where id = 1;
update plain set small = 'd', big = repeat('y', 6000) where id = 1;
update plain set id = 9 where id = 1;
insert into whole values (1, repeat('x', 5000), 'a'), (2, null, 'b');
update whole set small = 'c' where id = 1;
update whole set small = null where id = 2;
delete from whole;
