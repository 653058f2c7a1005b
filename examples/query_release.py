"""Read a release with DuckDB alone. Nothing of Einthoven is imported: any program that has DuckDB can do the same.

python examples/query_release.py [WAREHOUSE]        after `make demo`; the default is ./einthoven-warehouse
"""

# %%
import sys
from pathlib import Path

import duckdb

warehouse = Path(sys.argv[1] if len(sys.argv) > 1 else "einthoven-warehouse")
if not list(warehouse.glob("releases/*/current")):
    sys.exit(f"{warehouse} holds no release; run `make demo`, or name another warehouse")

# %% The catalog is one DuckDB file whose views show all that was committed. `current` marks the newest version.
catalog = duckdb.connect(str(warehouse / "catalog.duckdb"), read_only=True)
releases = catalog.sql("select name, version, rows, privacy_passed, cohort_id, path from releases where current")
print(releases)
name, version, _, _, cohort_id, folder = releases.fetchall()[-1]

# %% A release is a folder, which can be copied anywhere: its Parquet files say all that the catalog does.
parquet = f"{folder}/cohorts/part-*.parquet"
print(f"statements of {name} {version}: an ECG counts for each of its own")
print(
    duckdb.sql(f"""
        select statement, count(*) as ecgs, round(median(heart_rate_bpm)) as bpm, round(median(qrs_ms)) as qrs_ms
        from read_parquet('{parquet}'), unnest(string_split(condition, '; ')) as shown(statement)
        group by statement order by ecgs desc, statement
    """)
)

# %% Eight leads are stored, in µV; III, aVR, aVL and aVF follow from I and II. The catalog has macros for them.
print("largest value of the first ECG in four limb leads, in mV")
print(
    catalog.sql(f"""
        with limb as (
            select millivolts(lead_i) as i, millivolts(lead_ii) as ii
            from cohorts where dataset_id = '{cohort_id}' and row_number = 0
        )
        select list_max(i) as i, list_max(ii) as ii, list_max(lead_iii(i, ii)) as iii, list_max(lead_avf(i, ii)) as avf
        from limb
    """)
)

# %% A cohort by statement: the ECGs that were generated for the most frequent one. `statements` is a list per ECG.
(statement,) = duckdb.execute(f"""
    select statement from (select unnest(statements) as statement from read_parquet('{parquet}'))
    group by statement order by count(*) desc, statement limit 1
""").fetchall()[0]
cohort = duckdb.execute(f"""
    select ecg_id, age_years, sex, heart_rate_bpm, qrs_ms, lead_ii
    from read_parquet('{parquet}') where list_contains(statements, '{statement}') order by row_number
""")

# %% To pandas: one row per ECG, a waveform is one array per cell.
frame = cohort.df()
print(f"{len(frame)} ECGs of {statement}; lead II has {len(frame.lead_ii[0])} samples of type {frame.lead_ii[0].dtype}")
print(frame.drop(columns="lead_ii").describe().loc[["mean", "std"]].round(1))
