"""PostgreSQL: the pool, the change feed, the embedded server and the migrations."""
