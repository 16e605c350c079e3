-- What this service will own, Grafana may read.
ALTER DEFAULT PRIVILEGES FOR ROLE :"role" GRANT USAGE ON SCHEMAS TO kaiser_grafana;
ALTER DEFAULT PRIVILEGES FOR ROLE :"role" GRANT SELECT ON TABLES TO kaiser_grafana;
