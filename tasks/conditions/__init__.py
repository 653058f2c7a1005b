"""The condition of an ECG: what a recording shows, what a request asks for, what a cohort is made of."""
