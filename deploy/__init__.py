"""What a user starts: command line, watcher, Ray host, node agent, the life of an app, demo."""
