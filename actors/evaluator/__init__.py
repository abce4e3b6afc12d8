"""Policy evaluators: take policies over NATS, commit, compile and publish config, await acks."""
