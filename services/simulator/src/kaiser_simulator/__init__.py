"""The simulator: mock ESP32 devices that speak as real ones do."""
