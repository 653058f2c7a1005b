-- Lead algebra on lists of samples. Stored leads are in microvolts; results are lists of FLOAT in the unit of the input.
create macro millivolts(lead) as list_transform(lead, lambda sample: (sample / 1000.0)::FLOAT);

-- Einthoven 1913: III = II - I. Goldberger 1942: aVR, aVL, aVF. Samples are widened first, since a sum may leave SMALLINT.
create macro lead_iii(i, ii) as list_transform(i, lambda sample, position: ii[position]::FLOAT - sample::FLOAT);
create macro lead_avr(i, ii) as list_transform(i, lambda sample, position: -(sample::FLOAT + ii[position]::FLOAT) / 2);
create macro lead_avl(i, ii) as list_transform(i, lambda sample, position: sample::FLOAT - ii[position]::FLOAT / 2);
create macro lead_avf(i, ii) as list_transform(i, lambda sample, position: ii[position]::FLOAT - sample::FLOAT / 2);

-- Whether an ECG shows a statement, whatever else it shows: shows(statements, 'AFIB') of a cohort or of recordings,
-- shows(condition, 'atrial fibrillation') in words. The first statement alone would hide every rhythm.
create macro shows(statements varchar[], wanted varchar) as list_contains(statements, wanted),
  (statements struct(code varchar, likelihood float)[], wanted varchar) as
    list_contains(list_transform(statements, lambda one: one.code), wanted),
  (condition varchar, wanted varchar) as list_contains(string_split(condition, '; '), wanted);
