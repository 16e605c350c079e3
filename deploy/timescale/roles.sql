-- The roles of a Kaiser. psql runs this as superuser before each migration; it may be run again, and sets the passwords
-- anew from the files `database-<name>` in the folder that -v secrets=… names.
-- Each service has a role that owns the tables of its schema and sees no other's: it makes partitions and drops old ones
-- itself, for which PostgreSQL asks for the owner. kaiser_migrate makes the schemas, and what is in them under the name
-- of its owner. kaiser_grafana reads all but accounts and their passwords.
\set ON_ERROR_STOP on
SELECT current_database() AS database \gset
SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb') AS has_timescaledb \gset
\if :has_timescaledb
CREATE EXTENSION IF NOT EXISTS timescaledb;
\endif
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;

\set name migrate
\ir role.sql
GRANT CREATE ON DATABASE :"database" TO kaiser_migrate;

\set name grafana
\ir role.sql
ALTER ROLE kaiser_grafana SET default_transaction_read_only = on;
ALTER ROLE kaiser_grafana SET statement_timeout = '30s';
REVOKE TEMPORARY ON DATABASE :"database" FROM kaiser_grafana;

\set name sensor
\ir role.sql
\ir service.sql
\ir shown.sql
\set name actuator
\ir role.sql
\ir service.sql
\ir shown.sql
\set name health
\ir role.sql
\ir service.sql
\ir shown.sql
\set name logic
\ir role.sql
\ir service.sql
\ir shown.sql
\set name alarm
\ir role.sql
\ir service.sql
\ir shown.sql
\set name factory
\ir role.sql
\ir service.sql
\ir shown.sql
\set name recorder
\ir role.sql
\ir service.sql
\ir shown.sql
\set name simulator
\ir role.sql
\ir service.sql
\ir shown.sql
\set name gateway
\ir role.sql
\ir service.sql
