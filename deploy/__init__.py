"""What a user starts: the command line, the watcher, the Ray host, the node agent, the life of an app, the demo."""
