"""From letters on disk to codes: FASTA files, their index, UCSC .2bit."""
