DROP VIEW jobs;
