-- Every machine-checkable claim of the knowledge base, one per row, with its verdict.
create view claims as
select
  dataset_id, entry_id, statement, condition, sex, age_band,
  claim.feature, claim.lead, claim.comparison, claim.value, claim.upper, claim.unit,
  claim.support, claim.support_low, claim.elsewhere, claim.verdict, claim.author
from (select *, unnest(claims) as claim from knowledge);
