-- Run once, when the volume `postgres` is empty: a role and a database for each service that has one.
-- The passwords are files that the service `credentials` wrote.

\set controller `cat /run/credentials/controller`
\set postgres_sink `cat /run/credentials/postgres_sink`
\set cli `cat /run/credentials/cli`

CREATE ROLE controller LOGIN PASSWORD :'controller';
CREATE ROLE postgres_sink LOGIN PASSWORD :'postgres_sink';
CREATE DATABASE controller OWNER controller;
CREATE DATABASE events OWNER postgres_sink;
REVOKE CONNECT ON DATABASE controller, events FROM PUBLIC;

-- People may only read.
CREATE ROLE cli LOGIN PASSWORD :'cli' IN ROLE pg_read_all_data;
GRANT CONNECT ON DATABASE controller, events TO cli;
