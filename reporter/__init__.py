"""What leaves the site: DICOM results and quality records."""
