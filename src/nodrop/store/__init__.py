"""Where objects live: one SQLite file, one increasing revision."""
