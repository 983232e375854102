"""Orders: a small HTTP service over PostgreSQL."""
