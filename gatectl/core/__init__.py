"""The functional core: pure, total, standard library only."""
