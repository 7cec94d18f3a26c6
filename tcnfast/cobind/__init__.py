"""The parts of ``tcnfast cobind``: which factors bind together, and through which motifs."""
