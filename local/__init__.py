"""Everything on one machine: host, storage, stand-ins for the services, judge, demo. Never deployed."""
