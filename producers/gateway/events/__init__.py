"""`/events`: JSON, Avro, CloudEvents and lines become events of a contract, and are published."""
