"""When hearts beat, what kind each beat is and what the atria do: found in recordings, drawn for generation."""
