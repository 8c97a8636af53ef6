"""Parts of the report that only some studies have."""
