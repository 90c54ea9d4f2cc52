-- What the hub must say of contacts before a person has decided, in plain SQL over copies of both
-- sources' tables: who is alone with an e-mail on either side is one person.
with alone as (
    select min(topic) as topic, lower(trim(email)) as e_mail
    from shop.subscriber group by lower(trim(email)) having count(*) = 1
), customers as (
    select nr, trim(name1 || ' ' || coalesce(name2, '')) as name, lower(trim(email)) as e_mail,
           count(*) over (partition by lower(trim(email))) as sharing
    from sales.kunden
)
select nr as customer_no, name, topic
from customers left join alone on alone.e_mail = customers.e_mail and sharing = 1
order by nr;
