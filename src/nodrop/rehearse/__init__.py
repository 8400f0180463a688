"""Rehearsals: a load that accounts for every request, what became of it, and the verdict."""
