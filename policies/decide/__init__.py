"""What a proxy asks per request, as closures specialised from config once, when it is installed."""
