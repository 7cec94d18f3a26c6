"""From any lab's peak files to labelled tiles."""
