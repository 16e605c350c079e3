"""The requests that Kaiser answers, one module per resource.

Each function is named after its operation in the OpenAPI document (`list_buckets` is another form of list_readings) and
returns a Call; libs/client/tests/test_client_calls.py checks both.
"""
