"""The ground every room stands on: errors, compiled code, progress, tables, the life of a run,
pages."""
