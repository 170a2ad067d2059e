"""One function for each verb: load, decide, save, publish."""
