-- kaiser_migrate may take the role of a service, but does not have its rights otherwise.
GRANT :"role" TO kaiser_migrate WITH INHERIT FALSE, SET TRUE;
