"""STOW-RS (PS3.18 section 10.5): instances pushed by DICOMweb, into the same spool and with the same guarantees."""
