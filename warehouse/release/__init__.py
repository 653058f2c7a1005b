"""Release folders: their content, files, gate, and checks that need nothing but the folder."""
