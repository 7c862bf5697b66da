"""Plain C-STORE requests, from the connection to the spool; knows nothing of pynetdicom."""
