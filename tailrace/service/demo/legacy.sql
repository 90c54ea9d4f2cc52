-- A legacy ERP as they are found: German names, one-letter codes, padded keys, numbers and dates
-- as text. The same for each demo; :rows scales it.
create schema erp;
create table erp.zahlungsbedingungen (zb_code char(3) primary key, beschreibung text not null);
create table erp.kunden (
    mandant int not null,              -- 1: us, 2: the sister company
    kdnr char(8) not null,
    name1 text not null,
    name2 text,
    plz char(5),
    ort text,
    kz_status char(1),                 -- A, S, I, X, blank or nothing
    kreditlimit text,                  -- 1.234,56
    newsletter char(1),                -- J, N or nothing
    angelegt char(8) not null,         -- yyyymmdd, 00000000 for unknown
    zb_code char(3) references erp.zahlungsbedingungen,
    primary key (mandant, kdnr)
);
create table erp.artikel (
    artnr varchar(12) primary key,
    bezeichnung text not null,
    warengruppe char(2) not null,
    preis numeric(12,2) not null,
    gesperrt char(1) not null default 'N',
    langtext text                      -- long, so an update that leaves it alone does not log it
);
alter table erp.artikel alter langtext set storage external;
create table erp.auftraege (
    auftrnr bigint primary key,
    mandant int not null,
    kdnr char(8) not null,
    status char(2) not null,           -- 10, 20, 30, 40, 90
    datum char(8) not null,
    liefertermin char(8) not null,     -- yyyymmdd, 00000000 or 99991231 for unknown
    waehrung char(3) not null,
    bemerkung text
);
create index on erp.auftraege (kdnr);
create table erp.positionen (
    auftrnr bigint not null,
    posnr int not null,
    artnr varchar(12) not null,
    menge numeric(10,3) not null,
    preis numeric(12,2) not null,
    primary key (auftrnr, posnr)
);
insert into erp.zahlungsbedingungen values
    ('N30', '30 Tage netto'), ('N14', '14 Tage netto'), ('S10', '10 Tage 2 % Skonto'),
    ('VKS', 'Vorkasse');
insert into erp.kunden
select 1 + (g % 10 = 0)::int, lpad(g::text, 8, '0'),
    (array['Müller', 'Schäfer', 'Groß', 'Weiß', 'Jäger', 'Koch', 'Bauer', 'Lorenz'])[1 + g % 8]
        || ' ' || (array['GmbH', 'AG', 'KG', 'e. K.', 'OHG'])[1 + g % 5],
    case when g % 3 = 0 then 'Abt. ' || g % 17 end,
    lpad((g * 37 % 100000)::text, 5, '0'),
    (array['Köln', 'München', 'Gießen', 'Lübeck', 'Ulm'])[1 + g % 5],
    (array['A', 'A', 'S', 'A', 'I', 'A', 'X', ' ', null])[1 + g % 9],
    case when g % 7 > 0 then translate(
        to_char((g::bigint * 7919 % 5000000) / 100.0, 'FM999,990.00'), '.,', ',.') end,
    (array['J', 'N', null])[1 + g % 3],
    case when g % 11 = 0 then '00000000' else to_char(date '2001-01-01' + g % 8000, 'YYYYMMDD') end,
    (array['N30', 'N14', 'S10', 'VKS', null])[1 + g % 5]
from generate_series(1, :rows / 8) g;
insert into erp.artikel
select 'ART-' || lpad(g::text, 6, '0'),
    (array['Schraube', 'Dübel', 'Winkel', 'Öse', 'Kabel', 'Bügel'])[1 + g % 6] || ' ' || g,
    lpad((g % 40)::text, 2, '0'), (g::bigint * 104729 % 100000) / 100.0,
    case when g % 50 = 0 then 'J' else 'N' end,
    case when g % 20 = 0
        then (select string_agg(md5(g * 1000 + i || ''), ' ') from generate_series(1, 100) i) end
from generate_series(1, :rows / 32) g;
insert into erp.auftraege
select g, 1 + (k % 10 = 0)::int, lpad(k::text, 8, '0'),
    (array['10', '20', '30', '40', '90'])[1 + g % 5],
    to_char(date '2019-01-01' + (g % 2500)::int, 'YYYYMMDD'),
    (array['00000000', '99991231', to_char(date '2019-01-08' + (g % 2500)::int, 'YYYYMMDD')])
        [1 + g % 3],
    (array['EUR', 'CHF'])[1 + g % 2],
    case when g % 9 = 0 then 'Anlieferung ' || g % 31 end
from (select g, 1 + g::bigint * 31 % (:rows / 8) as k from generate_series(1, :rows / 4) g) s;
insert into erp.positionen
select g / 3 + 1, g % 3 + 1,
    'ART-' || lpad((1 + g::bigint * 17 % (:rows / 32))::text, 6, '0'),
    (g % 1000) / 8.0, (g::bigint * 7 % 100000) / 100.0
from generate_series(0, :rows * 3 / 4 - 1) g;
create publication tailrace for tables in schema erp;
