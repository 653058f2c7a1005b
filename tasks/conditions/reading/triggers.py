"""Words that decide how a statement is meant, after NegEx (Chapman et al., J Biomed Inform 34:301, 2001) and ConText
(Harkema et al., J Biomed Inform 42:839, 2009): negation, doubt, the past, and what ends their scope."""

from __future__ import annotations

from typing import Final

TRIGGERS: Final[dict[str, tuple[str, ...]]] = {
    # "no A and B" may mean "B, but no A"; "without A and B" may not.
    "no": ("no", "not", "never", "not in", "not any"),
    "without": (
        "without", "without any", "no evidence of", "no evidence for", "no sign of", "no sign for", "no indication of", "no suggestion of",
        "without evidence of", "no change suggestive of", "no change to suggest", "no change consistent with",
        "nothing to suggest", "nothing suggestive of", "no finding to suggest", "without evidence for", "without sign of", "absence of", "in absence of", "with absence of", "lack of", "lacking", "lack",
        "deny", "denies", "denied", "denying", "patient denies", "rule out", "ruling out", "exclude", "excludes", "excluding", "negative for", "free of",
        "free from", "neither", "no longer", "no longer in", "no longer has", "not have", "does not have", "do not have", "does not show",
        "do not show", "not show", "not showing", "devoid of", "rather than", "instead of", "as opposed to", "fail to show",
        "with no", "has no", "avoid", "never any", "not a", "not an", "never shown", "must not show", "should not show", "loss of",
    ),
    "absent": (
        "absent", "negative", "ruled out", "excluded", "not present", "not seen", "not shown", "not found", "not visible", "not noted",
        "not evident", "none", "unlikely", "gone", "resolved", "not there", "not detected", "not identified", "not demonstrated",
        "missing", "no longer present", "no longer seen", "not likely", "disappeared", "denied by patient", "not observed",
        "not appreciated", "not apparent", "not required", "not wanted", "not longer present", "not any more", "no more", "not anymore",
    ),
    "affirm": (
        "not without", "not free of", "not free from", "no lack of", "no absence of", "not absent", "not negative", "not negative for", "positive",
        "positive for", "present", "confirmed", "not lacking", "not gone", "not missing", "not resolved", "proven", "seen", "noted",
        "visible", "evident", "found", "no doubt about", "without doubt",
    ),
    "possible": (
        "possible", "possibly", "probable", "probably", "likely", "suspected", "suspect", "suspicion of", "may be", "may be present", "might be", "may have", "might have", "could be",
        "could be present", "questionable", "query", "presumed", "presumably", "presumptive", "borderline", "can not rule out",
        "can not exclude", "can not be ruled out", "can not be excluded", "not ruled out", "not excluded", "not be excluded", "could not be excluded",
        "could not be ruled out", "not be ruled out", "perhaps", "maybe", "apparent", "may represent", "might represent", "could represent",
        "raise possibility of", "very likely", "most likely", "possible cause", "equivocal", "uncertain",
        "suggest exclude", "consider", "not certain",
    ),
    # In "no ST changes suggestive of ischemia" the negation reaches over these.
    "relation": (
        "suggestive of", "suggesting", "suggest", "consistent with", "compatible with", "suspicious for", "concerning for", "concern for", "indicative of",
        "in keeping with", "may be due to", "likely to be due to", "most commonly due to", "probably due to", "to suggest",
    ),
    "history": ("history of", "past history of", "known history of", "previously had", "status post", "formerly", "previously", "previously in", "had", "prior", "previous", "past", "remote"),
    "in the past": ("in past", "years ago", "ago", "earlier"),
    "doubt": ("doubtful", "in doubt"),
    "except": ("except", "except for", "apart from", "other than", "aside from", "save for", "with exception of", "besides", "beyond"),
    "but": ("but", "however", "although", "though", "yet", "nevertheless", "still"),
    "with": ("with", "now", "now in", "currently", "today", "along with", "together with", "accompanied by", "showing", "in presence of"),
    "and": ("and", "as well as", "plus", "also", "and also", "but also", "combined with", "in combination with"),
    "or": ("or", "and or", "/", "and / or"),
    "versus": ("versus", "vs", "or else", "with or without", "alternatively", "either"),
    "nor": ("nor", "and neither"),
    "comma": (",",),
    "dash": (" - ",),
    "colon": (":",),
    "close": (")",),
    "end": (".",),
    "acute": ("acute", "hyperacute", "stage I"),
    "I-II": ("evolving",),
    "recent": ("recent", "subacute"),
    "old": ("old", "healed", "chronic", "longstanding", "long standing"),
    "age unknown": (
        "age indeterminate", "age undetermined", "undetermined age", "indeterminate age", "of indeterminate age", "of undetermined age", "of unknown age",
        "age unknown", "age uncertain", "of uncertain age", "age of indeterminate", "unknown age",
    ),
    "female": ("woman", "female", "lady", "girl", "women"),
    "male": ("man", "male", "gentleman", "boy", "men"),
    # Says how much; statements have no degrees.
    "degree": (
        "frequent", "occasional", "rare", "isolated", "single", "multiple", "many", "few", "several", "lot of", "some", "mild", "mildly", "marked", "markedly",
        "moderate", "moderately", "severe", "slight", "slightly", "minor", "minimal", "minimally", "prominent", "pronounced", "significant", "significantly",
        "extensive", "diffuse", "widespread", "new", "new onset", "newly diagnosed", "known", "persistent", "permanent", "paroxysmal", "intermittent", "transient",
        "underlying", "additional", "associated", "concomitant", "complete", "typical", "classic", "massive", "huge", "subtle", "small", "large", "big", "numerous",
        "couple of", "run of", "well controlled", "stable", "atypical", "completely", "definite", "certain", "definitely", "certainly", "clear", "clearly", "obvious", "pathologic", "pathological",
    ),
    "filler": (
        "show", "showing a", "shown", "please", "draw", "make", "generate", "give", "create", "me", "i", "want", "need", "would", "like", "of", "patient", "pt", "person",
        "subject", "case", "ecg", "ekg", "electrocardiogram", "tracing", "12 lead", "twelve lead", "recording", "trace", "in", "on", "at", "to", "this", "that", "which",
        "who", "whose", "has", "have", "having", "there", "it", "his", "her", "he", "she", "any", "sign", "evidence",
        "finding", "pattern", "by", "from", "for", "only", "just", "nothing but", "not only", "can", "will", "should", "do", "does", "did", "as", "sample", "example",
        "one", "change of", "standard", "synthetic", "simulated", "interpretation", "impression", "diagnosis", "conclusion", "background", "rhythm", "his ecg", "get",
        "see", "must", "its", "out of", "adult", "year", "so", "then", "than", "because", "other", "actually", "consistently", "demonstrate", "demonstrating", "reveal", "exhibit",
        "exhibiting", "display", "displaying", "suffering", "contain", "containing", "include", "including", "look", "i would like", "id like", "let", "rhythm strip", "strip", "on monitor",
        "monitor", "where", "label", "labelled", "labeled", "read as", "coded", "code", "cardiologist", "reader", "report", "reported", "report say", "described",
        "describe", "pull", "search", "search for", "find", "looking for", "look for", "which", "routine", "resting", "baseline", "control", "control group",
        "presence", "presence of", "noticeable", "form", "of this type", "somewhere", "across lead", "any lead", "we", "us", "measured", "diagnosed", "caused by",
        "categorized", "flagged", "my", "your", "their", "an", "further", "type not stated", "heart", "kind of", "sort of", "with feature of", "electrocardiographic", "cause of bradycardia not evident",
        "cause of marked bradycardia not evident",
    ),
}
"""Kind to its wordings. `absent`, `affirm` and `possible` act on what stands before or after them."""

STAGES: Final = {
    "acute": "Stadium I",
    "I-II": "Stadium I-II",
    "recent": "Stadium II",
    "old": "Stadium III",
    "age unknown": "unknown",
}
"""Stages of an infarction as PTB-XL codes them."""
PAST: Final = frozenset({"prior", "previous", "past", "remote"})
"""An old infarction, but no present arrhythmia."""
