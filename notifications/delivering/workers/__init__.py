"""Worker processes and threads: their start, heartbeat, wake-up, periodic tasks and end."""
