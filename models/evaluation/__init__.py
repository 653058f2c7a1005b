"""Networks and statistics that judge ECGs: classifier, ECG–text encoder, distances, intervals."""
