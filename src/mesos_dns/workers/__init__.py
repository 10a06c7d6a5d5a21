"""Worker processes: what control tells them, how they are started and fed, and the worker itself."""
