"""From files on disk to a lesion mask on the source grid."""
