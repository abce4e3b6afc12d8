"""NATS: subjects, messages, connection, store and the embedded server. Every fact of the mesh travels here."""
