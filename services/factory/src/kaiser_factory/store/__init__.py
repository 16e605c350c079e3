"""The SQL of the schema `factory`, and what is read from KV."""
