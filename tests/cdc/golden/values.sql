create table v (
  id int primary key, n numeric, f8 double precision, f4 real, b boolean, c char(5), vc varchar(9),
  d date, t time, ttz timetz, ts timestamp, tstz timestamptz, iv interval, by bytea, j json,
  jb jsonb, u uuid, i inet, ci cidr, r int4range, arr text[], bits bit(4), m money,
  nm name, o oid, pt point, tsv tsvector
);
-- stream
insert into v (id, n, f8, f4, b, c, vc) values
  (1, 'NaN', 'NaN', 'Infinity', true, 'ab', ''),
  (2, '1234567890123456789012345678901234567890.123456789', 0.1, 0.1, false, '', 'NULL'),
  (3, '-0.00', '-0', '-Infinity', null, ' a ', E'\\N'),
  (4, 1e-20, 1e308, 3.4e38, true, 'äöü', 'a' || chr(9) || 'b');
insert into v (id, d, t, ttz, ts, tstz, iv) values
  (10, '0044-03-15 BC', '24:00', '24:00+02', 'infinity', '-infinity', '1 year -2 days 03:04:05.6'),
  (11, '2024-02-29', '23:59:59.999999', '12:00-11:30', '2024-02-29 23:59:60', '2024-07-01 12:00+02', '-1 mon'),
  (12, 'infinity', '00:00', '00:00+00', '4713-01-01 00:00:00 BC', '294276-12-31 23:59:59+00', '178000000 years');
insert into v (id, by, j, jb, u, i, ci, r, arr, bits, m, nm, o, pt, tsv) values
  (20, '\x00ff10', '{"b": 1,  "a": [null]}', '{"b": 1, "a": 1.50}', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11',
   '10.0.0.1/8', '10.0.0.0/8', '[1,5]', array['a,b', null, 'NULL', '"q"', ''], '0101', 12.5,
   'n', 4294967295, '(1.5,-2)', 'fat cat');
