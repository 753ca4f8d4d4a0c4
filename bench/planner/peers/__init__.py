"""The peers' side: each module runs in the peers' environment and knows nothing of ours but the JSON."""
