"""NATS and Ray that others run: `tulle up --nats URL --ray ADDRESS`. All that differs is here.

`parse` says what is wanted, `Standing` what is there already. In the place of the embedded server
comes `OutsideNats` (nats.py), in the place of the Ray host `host.py`, which joins a cluster
(cluster.py) where actors and node agents (agent.py) stay when `up` ends; `end.py` ends them.
"""
