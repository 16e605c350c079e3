"""WebSocket: clients, their conversation, the hub that reads events once for all of them."""
