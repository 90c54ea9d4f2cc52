-- What the hub must hold in the end, in plain SQL over copies of both sources' tables. The e-mail is
-- left out: which is newest is a question of time, and at the hub it is a token.
select nr as customer_no,
       trim(name1 || ' ' || coalesce(name2, '')) as name,
       case kz_status when 'A' then 'active' when 'S' then 'blocked' when 'X' then 'blocked' end as status,
       replace(replace(kreditlimit, '.', ''), ',', '.')::numeric(12,2) as credit_limit,
       upper(land) as country,
       case when angelegt <> '00.00.0000' then to_date(angelegt, 'DD.MM.YYYY') end as since,
       case when length(replace(ustid, ' ', '')) < 8 then '***'
            else '***' || right(replace(ustid, ' ', ''), 4) end as tax_no,
       newsletter <> 0 as newsletter,
       last_visit
from sales.kunden
left join shop.customer on erp_no = nr
order by nr;
