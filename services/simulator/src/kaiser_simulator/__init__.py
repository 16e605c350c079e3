"""The simulator: mock ESP32 devices and a mock factory that send and receive the same messages as real ones."""
