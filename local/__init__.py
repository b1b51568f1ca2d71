"""Everything on one machine: host, storage, fakes of the services, judge, demo. Never deployed."""
