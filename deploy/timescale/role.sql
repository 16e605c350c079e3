-- A role kaiser_:name that may sign in with the password in its file, and nothing beyond.
SELECT 'kaiser_' || :'name' AS role \gset
\set file :secrets '/database-' :name
\set password `cat :'file'`
SELECT format('CREATE ROLE %I', :'role') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
ALTER ROLE :"role" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 64
    PASSWORD :'password';
GRANT CONNECT, TEMPORARY ON DATABASE :"database" TO :"role";
