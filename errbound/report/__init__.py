"""Reports: the journal of a run, the files made from it, the table on the terminal."""
