"""NATS: subjects, messages, connection, store, embedded server. Every fact travels here."""
