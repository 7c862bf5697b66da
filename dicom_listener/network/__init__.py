"""What comes over the DICOM network, and how: associations, negotiation, TLS, and the two intake paths."""
