"""Names of the servers in the tables."""

PLAIN, DURABLE, ORTHANC, HANDLER, BARE, OURS, NO_JOURNAL = (
    "storescp --fork",
    "storescp --fork, fdatasync at close",
    "Orthanc",
    "plain pynetdicom handler",
    "bare loop in Python, a file each",
    "segwatch",
    "segwatch, no journal",
)
