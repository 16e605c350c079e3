"""How mocks behave, pure: time is an argument, nothing waits."""
